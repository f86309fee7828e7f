//! The form of one limit through serde.

use crate::wire::frame::Framing;
use core::time::Duration;
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};

/// Numbers as they are, times in seconds.
pub(super) struct Form<T>(pub(super) T);

macro_rules! plain {
    ($($type:ty)*) => { $(
        impl Serialize for Form<$type> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for Form<$type> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Deserialize::deserialize(deserializer).map(Self)
            }
        }
    )* };
}

plain!(bool u8 u16 u32 u64 Framing);

impl Serialize for Form<Duration> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_secs_f64().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Form<Duration> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}
