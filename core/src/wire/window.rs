//! The window of one direction. (PROTOCOL.md, "Windows")

fields! {
    /// How much may be under way unacknowledged in one direction. Counts messages only.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Window {
        /// Messages.
        pub messages: u32,
        /// Bytes of payload.
        pub bytes: u32,
    }
}
