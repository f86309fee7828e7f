//! Bytes that wait for somebody to take them.

/// What was not taken at once. Most connections have none, so where there is none it is small.
#[derive(Debug, Default)]
pub(crate) struct Backlog(Option<Box<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// So many of them were taken since. They are not moved for each piece.
    taken: usize,
}

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// What waits, in the order in which it came.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |waiting| &waiting.bytes[waiting.taken..])
    }

    /// How many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.bytes.len())
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.0.get_or_insert_default().bytes.extend_from_slice(bytes);
        }
    }

    /// So many bytes were taken. What is empty gives its memory back.
    pub(crate) fn advance(&mut self, count: usize) {
        if let Some(waiting) = &mut self.0 {
            waiting.taken += count.min(waiting.bytes.len() - waiting.taken);
            self.0.take_if(|waiting| waiting.taken == waiting.bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_in_order_and_nothing_is_left_behind() {
        let mut backlog = Backlog::default();
        backlog.push(&[]);
        assert!(backlog.is_empty() && backlog.bytes().is_empty());
        backlog.push(&[1, 2, 3]);
        backlog.advance(0);
        backlog.advance(2);
        backlog.push(&[4]);
        assert_eq!(backlog.bytes(), [3, 4]);
        backlog.advance(9);
        assert!(backlog.is_empty());
        backlog.advance(1);
        assert_eq!(backlog.bytes(), [0; 0]);
    }
}
