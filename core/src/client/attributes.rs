//! The attributes of a client as the application wants them now, and as the last hello contains them.

use super::memory::{Cutter, Region};
use crate::codec::shift;
use crate::data::attributes::{AttributesRef, change_in_place};
use crate::data::value::{AttributeError, Value};

/// Both sets of attributes.
#[derive(Clone, Debug)]
pub(super) struct Attributes {
    /// Those of the application; in front of them lies as much room for those of the hello.
    region: Region,
    len: u16,
    /// The application may change its attributes while the hello is written.
    hello_len: u16,
    /// Changes that the broker has to get in order, and how many of them the last hello contains.
    pub(super) changes: u64,
    pub(super) covered: u64,
}

impl Attributes {
    pub(super) fn new(cutter: &mut Cutter, bytes: u16, m: &mut [u8]) -> Self {
        let region = cutter.second_region(usize::from(bytes));
        if let Some(count) = region.bytes_mut(m).first_mut() {
            *count = 0;
        }
        Self { region, len: 1, hello_len: 1, changes: 0, covered: 0 }
    }

    /// The attributes of the application.
    pub(super) fn current<'m>(&self, m: &'m [u8]) -> AttributesRef<'m> {
        AttributesRef::trusted(self.region.bytes(m).get(..usize::from(self.len)).unwrap_or(&[0]))
    }

    /// Sets or removes an attribute of the application.
    pub(super) fn change(
        &mut self,
        m: &mut [u8],
        key: &str,
        value: Option<Value<'_>>,
    ) -> Result<(), AttributeError> {
        let changed = change_in_place(self.region.bytes_mut(m), usize::from(self.len), key, value);
        // At most MAX_ATTRIBUTE_BYTES.
        self.len = changed? as u16;
        Ok(())
    }

    fn hello_at(&self) -> usize {
        self.region.range().start.saturating_sub(self.region.len())
    }

    /// A hello contains the attributes as they are now.
    pub(super) fn begin_hello(&mut self, m: &mut [u8]) {
        let from = self.region.range().start;
        shift(m, from..from + usize::from(self.len), self.hello_at());
        (self.hello_len, self.covered) = (self.len, self.changes);
    }

    /// The attributes of the last hello.
    pub(super) fn of_hello<'m>(&self, m: &'m [u8]) -> AttributesRef<'m> {
        let at = self.hello_at();
        AttributesRef::trusted(m.get(at..at + usize::from(self.hello_len)).unwrap_or(&[0]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_keeps_the_attributes_that_it_began_with() {
        let mut cutter = Cutter::default();
        Attributes::new(&mut cutter, 32, &mut []);
        let mut m = std::vec![0xff; cutter.used()];
        let mut attributes = Attributes::new(&mut Cutter::default(), 32, &mut m);
        assert!(attributes.current(&m).is_empty());
        attributes.change(&mut m, "a", Some(Value::Int(1))).unwrap();
        attributes.changes += 1;
        attributes.begin_hello(&mut m);
        attributes.change(&mut m, "a", Some(Value::Int(2))).unwrap();
        attributes.change(&mut m, "b", Some(Value::Int(3))).unwrap();
        assert_eq!(attributes.of_hello(&m).get("a"), Some(Value::Int(1)));
        assert_eq!(attributes.of_hello(&m).get("b"), None);
        assert_eq!((attributes.current(&m).get("a"), attributes.covered), (Some(Value::Int(2)), 1));
        attributes.change(&mut m, "a", None).unwrap();
        assert_eq!((attributes.current(&m).len(), attributes.of_hello(&m).len()), (1, 1));
        assert!(
            attributes
                .change(&mut m, "c", Some(Value::Str("longer than the room for all of the attributes")))
                .is_err()
        );
        assert_eq!(attributes.current(&m).get("b"), Some(Value::Int(3)));
    }
}
