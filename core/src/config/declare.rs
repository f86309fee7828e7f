//! The macro that declares a config: fields, documentation, defaults, setters and bounds come from one list.

use crate::error::{Bound, ConfigError};
use core::ops::{Bound::Included, RangeBounds};
use core::time::Duration;

pub(super) const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(super) const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[cfg(feature = "alloc")]
pub(super) const fn hours(count: u64) -> Duration {
    Duration::from_hours(count)
}

/// Checks one limit. The bounds of all limits are inclusive.
pub(super) fn check<T: Copy + PartialOrd + Into<Bound>>(
    name: &'static str,
    value: T,
    bounds: impl RangeBounds<T>,
) -> Result<(), ConfigError> {
    match (bounds.start_bound(), bounds.end_bound()) {
        (Included(&least), _) if value < least => Err(ConfigError::TooSmall(name, least.into())),
        (_, Included(&most)) if value > most => Err(ConfigError::TooLarge(name, most.into())),
        _ => Ok(()),
    }
}

/// Checks a number of bytes of which one payload needs so many.
pub(super) fn least(name: &'static str, value: u64, needed: u64) -> Result<(), ConfigError> {
    if value < needed {
        Err(ConfigError::TooSmall(name, Bound::Because("max_payload", needed)))
    } else {
        Ok(())
    }
}

/// Declares a config: the fields that `new` takes, then the limits, each as `name: type = default, bounds;`.
///
/// The struct may grow: users make it with `new` and the setters, which are named like the fields.
macro_rules! config {
    (
        $(#[$about:meta])*
        pub struct $config:ident {
            $($(#[$identity_about:meta])* pub $identity:ident: $identity_type:ty;)*
            ..;
            $($(#[$limit_about:meta])* pub $limit:ident: $type:ty = $default:expr $(, $bounds:expr)?;)*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub struct $config {
            $($(#[$identity_about])* pub $identity: $identity_type,)*
            $(
                $(#[$limit_about])*
                #[doc = concat!("\n\nDefault `", stringify!($default), "`" $(, ", bounds `", stringify!($bounds), "`")?, ".")]
                pub $limit: $type,
            )*
        }

        impl $config {
            /// The default limits.
            pub const fn new($($identity: $identity_type),*) -> Self {
                Self { $($identity,)* $($limit: $default,)* }
            }

            $(
                #[doc = concat!("Sets [`", stringify!($limit), "`](#structfield.", stringify!($limit), ").")]
                #[must_use]
                pub const fn $limit(mut self, $limit: $type) -> Self {
                    self.$limit = $limit;
                    self
                }
            )*

            /// Checks the bounds that are in the list.
            fn check_bounds(&self) -> Result<(), $crate::error::ConfigError> {
                $($($crate::config::declare::check(stringify!($limit), self.$limit, $bounds)?;)?)*
                Ok(())
            }
        }

        #[cfg(feature = "serde")]
        const _: () = {
            use $crate::config::through_serde::Form;
            use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeSeed, ser::SerializeStruct};

            /// The limits by name, times in seconds. Identity, secrets and seeds are not written.
            impl Serialize for $config {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    let count = [$(stringify!($limit)),*].len();
                    let mut limits = serializer.serialize_struct(stringify!($config), count)?;
                    $(limits.serialize_field(stringify!($limit), &Some(Form(self.$limit)))?;)*
                    limits.end()
                }
            }

            #[derive(Deserialize)]
            #[serde(deny_unknown_fields)]
            struct Given {
                $($limit: Option<Form<$type>>,)*
            }

            /// Reads the limits that are given, times in seconds; all others stay as they are.
            impl<'de> DeserializeSeed<'de> for $config {
                type Value = Self;

                fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<Self, D::Error> {
                    let given = Given::deserialize(deserializer)?;
                    $(if let Some(Form(value)) = given.$limit {
                        self.$limit = value;
                    })*
                    Ok(self)
                }
            }
        };
    };
}
