//! The policy: what sessions may do, as whoever runs the broker sees it.

use crate::data::attributes::AttributesRef;
use crate::data::destination::DestinationRef;
use crate::data::filter::FilterRef;
use alloc::boxed::Box;
use core::fmt;
use uuid::Uuid;

/// Somebody who asks for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requester<'a> {
    /// Who it is.
    pub uuid: Uuid,
    /// The attributes of its session now.
    pub attributes: AttributesRef<'a>,
}

/// What sessions may do. Everything, where a method is not written.
///
/// A policy is a function: the same question always has the same answer, so that a broker goes on being one. What is
/// refused is answered with [`RefusalReason::NotAllowed`](crate::RefusalReason::NotAllowed), a hello with
/// [`AbortCode::NotAllowed`](crate::AbortCode::NotAllowed). (PROTOCOL.md, "Policy")
///
/// Deny by attribute: only admins speak to everyone, and nobody makes itself one who was not one when it came.
///
/// ```
/// use e_pigeon_core::{
///     AttributesRef, Broker, BrokerConfig, DestinationRef, Policy, Requester, Target, Uuid, Value,
/// };
///
/// struct AdminsOnly {
///     admins: Vec<Uuid>,
/// }
///
/// impl Policy for AdminsOnly {
///     fn may_send(&self, from: Requester<'_>, to: DestinationRef<'_>) -> bool {
///         let is_admin = from.attributes.get("role") == Some(Value::Str("admin"));
///         is_admin || !matches!(to.target(), Target::Everyone)
///     }
///
///     fn may_have(&self, who: Uuid, attributes: AttributesRef<'_>) -> bool {
///         attributes.get("role") != Some(Value::Str("admin")) || self.admins.contains(&who)
///     }
/// }
///
/// let policy = AdminsOnly { admins: vec![Uuid::from_u128(1)] };
/// let broker = Broker::with_policy(BrokerConfig::new(5), 1, policy)?;
/// # Ok::<(), e_pigeon_core::ConfigError>(())
/// ```
pub trait Policy: Send + Sync {
    /// Whether a message may be taken. Asked once for each sending that is not in flight already.
    fn may_send(&self, from: Requester<'_>, to: DestinationRef<'_>) -> bool {
        let _ = (from, to);
        true
    }

    /// Whether a session may have these attributes, all of them together: when it begins, and before each change.
    fn may_have(&self, who: Uuid, attributes: AttributesRef<'_>) -> bool {
        let _ = (who, attributes);
        true
    }

    /// Whether a session may know who matches a filter.
    fn may_watch(&self, who: Requester<'_>, filter: FilterRef<'_>) -> bool {
        let _ = (who, filter);
        true
    }
}

/// The policy of a broker; none: everything is allowed.
#[derive(Default)]
pub(crate) struct Guard(pub(crate) Option<Box<dyn Policy>>);

impl Guard {
    pub(crate) fn new(policy: impl Policy + 'static) -> Self {
        Self(Some(Box::new(policy)))
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Guard(policy)" } else { "Guard(open)" })
    }
}
