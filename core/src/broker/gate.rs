//! Rights: asks the policy what a session may do.

use super::policy::Requester;
use super::state::Broker;
use crate::data::attributes::AttributesRef;
use crate::data::destination::DestinationRef;
#[cfg(feature = "presence")]
use crate::data::filter::FilterRef;
use uuid::Uuid;

impl Broker {
    /// Whether a session may send to a destination in the table.
    pub(super) fn may_send(&self, session: u32, to: u32) -> bool {
        // Without a policy everything is allowed.
        let Some(policy) = &self.guard.0 else { return true };
        let to = DestinationRef::trusted(self.messages.destination(to));
        self.subject(session).is_some_and(|from| policy.may_send(from, to))
    }

    pub(super) fn may_have(&self, who: Uuid, attributes: AttributesRef<'_>) -> bool {
        self.guard.0.as_ref().is_none_or(|policy| policy.may_have(who, attributes))
    }

    #[cfg(feature = "presence")]
    pub(super) fn may_watch(&self, session: u32, filter: FilterRef<'_>) -> bool {
        // Without a policy everything is allowed.
        let Some(policy) = &self.guard.0 else { return true };
        self.subject(session).is_some_and(|who| policy.may_watch(who, filter))
    }

    fn subject(&self, session: u32) -> Option<Requester<'_>> {
        let session = self.sessions.get(session)?;
        Some(Requester { uuid: session.uuid, attributes: session.attributes() })
    }
}
