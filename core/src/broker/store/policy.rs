//! The policy: what sessions may do, as the operator of the broker decides it.

use crate::data::attributes::AttributesRef;
use crate::data::destination::DestinationRef;
use crate::data::filter::FilterRef;
use alloc::boxed::Box;
use core::fmt;
use uuid::Uuid;

/// The client that asks for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requester<'a> {
    /// The UUID of the client.
    pub uuid: Uuid,
    /// The current attributes of its session.
    pub attributes: AttributesRef<'a>,
}

/// Decides what sessions may do. Each method allows everything unless it is overridden.
///
/// A policy must be a function: the same question always gets the same answer. The refusal of a request is
/// [`RefusalReason::NotAllowed`](crate::RefusalReason::NotAllowed), and that of a hello
/// [`AbortCode::NotAllowed`](crate::AbortCode::NotAllowed). (PROTOCOL.md, "Policy")
///
/// An example that denies by attribute: only admins may send to everyone, and only listed clients may become admins.
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
    /// Whether the broker may accept a message. Called once for each message that a client sends, unless that is in flight
    /// already.
    fn may_send(&self, from: Requester<'_>, to: DestinationRef<'_>) -> bool {
        let _ = (from, to);
        true
    }

    /// Whether a session may have exactly these attributes. Called when it begins, and before each change.
    fn may_have(&self, who: Uuid, attributes: AttributesRef<'_>) -> bool {
        let _ = (who, attributes);
        true
    }

    /// Whether a session may watch which sessions match a filter.
    fn may_watch(&self, who: Requester<'_>, filter: FilterRef<'_>) -> bool {
        let _ = (who, filter);
        true
    }
}

/// The policy of a broker. Without one, everything is allowed.
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
