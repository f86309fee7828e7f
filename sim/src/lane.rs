//! What is under way in one direction of a connection.

use crate::setup::Medium;
use crate::step::Disturbance;
use std::collections::VecDeque;

/// Bytes, or datagrams, that were written and have not arrived.
#[derive(Clone, Debug)]
pub(crate) enum Lane {
    Stream(VecDeque<u8>),
    Serial(VecDeque<u8>),
    Datagrams(VecDeque<Vec<u8>>),
}

impl Lane {
    pub(crate) fn new(medium: Medium) -> Self {
        match medium {
            Medium::Stream => Self::Stream(VecDeque::new()),
            Medium::Serial => Self::Serial(VecDeque::new()),
            Medium::Datagrams => Self::Datagrams(VecDeque::new()),
        }
    }

    /// How many bytes, or datagrams, are under way.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Stream(bytes) | Self::Serial(bytes) => bytes.len(),
            Self::Datagrams(datagrams) => datagrams.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What one call of `poll_transmit` wrote.
    pub(crate) fn put(&mut self, written: &[u8]) {
        match self {
            Self::Stream(bytes) | Self::Serial(bytes) => bytes.extend(written),
            Self::Datagrams(datagrams) => datagrams.push_back(written.to_vec()),
        }
    }

    /// Takes what arrives at once: at most so many bytes, or one datagram.
    pub(crate) fn take(&mut self, most: usize) -> Vec<u8> {
        match self {
            Self::Stream(bytes) | Self::Serial(bytes) => {
                let count = most.min(bytes.len());
                bytes.drain(..count).collect()
            }
            Self::Datagrams(datagrams) => datagrams.pop_front().unwrap_or_default(),
        }
    }

    /// Puts back what was taken and not used.
    pub(crate) fn put_back(&mut self, rest: &[u8]) {
        match self {
            Self::Stream(bytes) | Self::Serial(bytes) => {
                for &byte in rest.iter().rev() {
                    bytes.push_front(byte);
                }
            }
            Self::Datagrams(_) if rest.is_empty() => {}
            Self::Datagrams(datagrams) => datagrams.push_front(rest.to_vec()),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.keep(0);
    }

    /// Only the first so many arrive.
    pub(crate) fn keep(&mut self, count: usize) {
        match self {
            Self::Stream(bytes) | Self::Serial(bytes) => bytes.truncate(count),
            Self::Datagrams(datagrams) => datagrams.truncate(count),
        }
    }

    /// Something happens on the way; false where this medium does nothing of that kind, or has nothing under way.
    pub(crate) fn disturb(&mut self, what: Disturbance) -> bool {
        if self.is_empty() {
            return false;
        }
        let length = self.len();
        match self {
            Self::Stream(_) => false,
            Self::Serial(bytes) => disturb_bytes(bytes, length, what),
            Self::Datagrams(datagrams) => disturb_datagrams(datagrams, length, what),
        }
    }
}

fn disturb_bytes(bytes: &mut VecDeque<u8>, length: usize, what: Disturbance) -> bool {
    match what {
        Disturbance::Damage(place, flip) => {
            if let Some(byte) = bytes.get_mut(place % length) {
                *byte ^= flip;
            }
            flip != 0
        }
        Disturbance::Lose(place, count) => {
            let place = place % length;
            let end = place.saturating_add(count).min(length);
            bytes.drain(place..end);
            count > 0
        }
        Disturbance::Insert(place, byte) => {
            bytes.insert(place % length, byte);
            true
        }
        Disturbance::Delay(..) => false,
    }
}

fn disturb_datagrams(datagrams: &mut VecDeque<Vec<u8>>, length: usize, what: Disturbance) -> bool {
    match what {
        Disturbance::Lose(place, _) => {
            datagrams.remove(place % length);
            true
        }
        Disturbance::Insert(place, _) => {
            if let Some(datagram) = datagrams.get(place % length).cloned() {
                datagrams.push_back(datagram);
            }
            true
        }
        Disturbance::Delay(place, behind) => {
            let place = place % length;
            let Some(datagram) = datagrams.remove(place) else { return false };
            let to = place.saturating_add(behind).min(datagrams.len());
            datagrams.insert(to, datagram);
            to != place
        }
        Disturbance::Damage(..) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(medium: Medium) -> Lane {
        let mut lane = Lane::new(medium);
        lane.put(&[1, 2]);
        lane.put(&[3]);
        lane
    }

    #[test]
    fn a_stream_keeps_bytes_in_order_whatever_disturbs_it() {
        let mut lane = lane(Medium::Stream);
        assert!(!lane.disturb(Disturbance::Damage(0, 1)) && !lane.disturb(Disturbance::Lose(0, 3)));
        let taken = lane.take(2);
        lane.put_back(&taken[1..]);
        assert_eq!(lane.take(10), [2, 3]);
    }

    #[test]
    fn a_serial_line_damages_loses_and_inserts_bytes() {
        let mut lane = lane(Medium::Serial);
        assert!(lane.disturb(Disturbance::Damage(4, 0x80)));
        assert!(lane.disturb(Disturbance::Insert(0, 9)));
        assert!(lane.disturb(Disturbance::Lose(1, 1)));
        assert_eq!(lane.take(10), [9, 0x82, 3]);
        assert!(!lane.disturb(Disturbance::Lose(0, 1)), "nothing is under way");
    }

    #[test]
    fn datagrams_are_lost_come_twice_and_overtake() {
        let mut lane = lane(Medium::Datagrams);
        assert!(lane.disturb(Disturbance::Delay(0, 5)));
        assert!(lane.disturb(Disturbance::Insert(0, 0)));
        assert!(lane.disturb(Disturbance::Lose(1, 1)));
        assert_eq!((lane.take(1), lane.take(1), lane.take(1)), (vec![3], vec![3], vec![]));
    }
}
