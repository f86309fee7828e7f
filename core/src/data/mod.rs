//! What a user of the protocol names: keys and values, attributes and changes of them, filters and destinations, messages and
//! receipts. What the wire carries of these is kept in its one encoding.

pub(crate) mod attributes;
pub(crate) mod destination;
pub(crate) mod filter;
pub(crate) mod message;
pub(crate) mod patch;
pub(crate) mod text;
pub(crate) mod value;
