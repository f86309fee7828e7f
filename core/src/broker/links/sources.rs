//! Sources of links: the number of links and of failed hellos of each, and the choice of the link that makes way if places
//! run out. (PROTOCOL.md, "Resources")

use crate::broker::store::{Key, KeySet, Limit, last_of};
use crate::bug::OrBug;
use crate::config::broker::BrokerConfig;
use crate::time::{Instant, micros};
use core::time::Duration;
use slab::Slab;

/// A link that has waited for its hello this long makes way for another one if places run out.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// The number of waiting links, the oldest first, that one call checks for that.
pub(crate) const LOOKS_PER_CALL: u32 = 256;
/// The most sources without a link whose failed hellos are remembered.
pub(crate) const MAX_REMEMBERED: u32 = 1_024;
/// The failed hellos of a source are forgotten one by one, all of them within this time.
pub(crate) const MEMORY: Duration = Duration::from_secs(60);
/// The most links that made way and are not closed yet.
pub(crate) const MAX_MADE_WAY: u32 = 256;

const NO_SOURCE: &str = "there is no such source";

/// A source with links, or with failed hellos that are remembered.
#[derive(Debug)]
pub(crate) struct Source {
    number: u64,
    links: u32,
    /// The number of links that wait for a hello.
    waiting: u32,
    /// When the last of its failed hellos is forgotten.
    fails_until: Instant,
    /// The number of waiting links that are known to be overdue: over streams, over lossy framed transports.
    overdue: [u32; 2],
}

/// The table of sources.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    sources: Slab<Source>,
    /// Sources and links in several orders, see [`Listed`]. One set has them all, because each set takes at least a node.
    listed: KeySet,
    /// The number of sources without a link.
    fading: u32,
}

/// A source and a kind of transport: twice its index, plus one for lossy framed transports.
#[derive(Clone, Copy)]
struct Place(u64);

/// The keys in the set of this table. The deadline of the hello of a link shows how long the link has waited.
#[derive(Clone, Copy)]
enum Listed {
    /// A source, by its number.
    Number(u64, u32),
    /// A waiting link: its deadline, its index, its place.
    Fresh(u64, u32, Place),
    /// A link that is known to be overdue: its place, its deadline, its index.
    Overdue(Place, u64, u32),
    /// A place with that many overdue links, the oldest of which has that deadline: the last crowd makes way first.
    Crowd(u32, u64, Place),
    /// A source without a link: when its last failure is forgotten, and its index.
    Fading(u64, u32),
}

impl Place {
    fn of(source: u32, is_lossy: bool) -> Self {
        Self(u64::from(source) << 1 | u64::from(is_lossy))
    }

    fn source(self) -> u32 {
        // The key was made from a u32.
        (self.0 >> 1) as u32
    }

    fn kind(self) -> usize {
        usize::from(self.0 & 1 == 1)
    }
}

/// The kind of a key is above the numbers of places and links, which have 32 bits.
const TAG: u32 = 40;
const LOSSY: u64 = 1 << 32;

impl Listed {
    fn key(self) -> Key {
        match self {
            Self::Number(number, source) => (0, number, u64::from(source)),
            Self::Fresh(until, link, place) => (1 << TAG, until, u64::from(link) << 32 | place.0),
            Self::Overdue(place, until, link) => (2 << TAG | place.0, until, u64::from(link)),
            Self::Crowd(count, until, place) => {
                (Self::crowds(place.kind() == 1) | u64::from(count), u64::MAX - until, place.0)
            }
            Self::Fading(until, source) => (4 << TAG, until, u64::from(source)),
        }
    }

    /// The first number of the keys of crowds, over streams or over lossy framed transports.
    fn crowds(is_lossy: bool) -> u64 {
        3 << TAG | if is_lossy { LOSSY } else { 0 }
    }
}

impl Source {
    /// The number of failed hellos that are remembered, of at most `max`.
    fn failures(&self, now: Instant, max: u32) -> u64 {
        self.fails_until.micros_since(now).div_ceil(interval(max))
    }
}

/// The time in microseconds after which one of `max` failed hellos is forgotten.
fn interval(max: u32) -> u64 {
    (micros(MEMORY) / u64::from(max.max(1))).max(1)
}

/// The most links that may have made way and not be closed yet.
pub(crate) const fn max_made_way(config: &BrokerConfig) -> u32 {
    match config.max_links / 4 {
        0 => 1,
        links if links < MAX_MADE_WAY => links,
        _ => MAX_MADE_WAY,
    }
}

impl Sources {
    fn get_mut(&mut self, source: u32) -> Option<&mut Source> {
        self.sources.get_mut(source as usize)
    }

    fn find(&self, number: u64) -> Option<u32> {
        // The key was made from a u32.
        self.listed.range((0, number, 0)..=(0, number, u64::MAX)).next().map(|&(.., source)| source as u32)
    }

    /// The number of a source.
    pub(crate) fn number(&self, source: u32) -> u64 {
        self.sources.get(source as usize).or_bug(NO_SOURCE).map_or(0, |source| source.number)
    }

    /// The limit that keeps a source from getting a further link now.
    pub(crate) fn refusal(&self, number: u64, now: Instant, config: &BrokerConfig) -> Option<Limit> {
        let max_links = config.max_links_per_source;
        if max_links == 0 && config.max_failed_hellos_per_source == 0 {
            return None;
        }
        let source = self.find(number)?;
        if max_links > 0 && self.sources.get(source as usize)?.links >= max_links {
            return Some(Limit::LinksPerSource);
        }
        self.ignores(source, now, config).then_some(Limit::FailedHellosPerSource)
    }

    /// True if too many hellos of a source have failed, counting those that are awaited: its hellos are ignored now.
    pub(crate) fn ignores(&self, source: u32, now: Instant, config: &BrokerConfig) -> bool {
        let max = config.max_failed_hellos_per_source;
        let count = |source: &Source| source.failures(now, max) + u64::from(source.waiting);
        max > 0 && self.sources.get(source as usize).or_bug(NO_SOURCE).map_or(0, count) >= u64::from(max)
    }

    /// Counts one more link of a source. Returns the index of the source.
    pub(crate) fn join(&mut self, number: u64) -> u32 {
        if let Some(source) = self.find(number) {
            if let Some(state) = self.get_mut(source).or_bug(NO_SOURCE) {
                state.links += 1;
                let fading = Listed::Fading(state.fails_until.as_micros(), source);
                if state.links == 1 && self.listed.remove(&fading.key()) {
                    self.fading -= 1;
                }
            }
            return source;
        }
        let fails_until = Instant::default();
        let new = Source { number, links: 1, waiting: 0, fails_until, overdue: [0; 2] };
        // There are at most as many sources as links and remembered sources.
        let source = self.sources.insert(new) as u32;
        self.listed.insert(Listed::Number(number, source).key());
        source
    }

    /// Counts one link of a source less.
    pub(crate) fn part(&mut self, source: u32, now: Instant) {
        let Some(state) = self.get_mut(source).or_bug(NO_SOURCE) else { return };
        state.links -= 1;
        let (links, until) = (state.links, state.fails_until);
        if links > 0 {
            return;
        }
        if until <= now {
            self.forget(source);
            return;
        }
        self.listed.insert(Listed::Fading(until.as_micros(), source).key());
        self.fading += 1;
        // Two sources are forgotten at a time, so that they become fewer even if none has to go before its time.
        for _ in 0..2 {
            let first = self.listed.range(Listed::Fading(0, 0).key()..).next().copied();
            // No further source is without a link.
            let Some(fading @ (_, until, source)) = first else { break };
            if until > now.as_micros() && self.fading <= MAX_REMEMBERED {
                break;
            }
            self.listed.remove(&fading);
            self.fading -= 1;
            // The key was made from a u32.
            self.forget(source as u32);
        }
    }

    fn forget(&mut self, source: u32) {
        if let Some(state) = self.sources.try_remove(source as usize).or_bug(NO_SOURCE) {
            self.listed.remove(&Listed::Number(state.number, source).key());
        }
    }

    /// Adds a link that waits for a hello, until then.
    pub(crate) fn wait(&mut self, source: u32, link: u32, is_lossy: bool, until: Instant) {
        let Some(state) = self.get_mut(source).or_bug(NO_SOURCE) else { return };
        state.waiting += 1;
        self.listed.insert(Listed::Fresh(until.as_micros(), link, Place::of(source, is_lossy)).key());
    }

    /// Removes a link that does not wait any more.
    pub(crate) fn heard(&mut self, source: u32, link: u32, is_lossy: bool, until: Instant) {
        let Some(state) = self.get_mut(source).or_bug(NO_SOURCE) else { return };
        state.waiting -= 1;
        let (place, until) = (Place::of(source, is_lossy), until.as_micros());
        if !self.listed.remove(&Listed::Fresh(until, link, place).key()) {
            self.change_overdue(place, |listed, count| {
                if !listed.remove(&Listed::Overdue(place, until, link).key()) {
                    bug!("a link that waits stands in no list");
                }
                count.saturating_sub(1)
            });
        }
    }

    /// Changes the overdue links of a source, and its rank.
    fn change_overdue(&mut self, place: Place, change: impl FnOnce(&mut KeySet, u32) -> u32) {
        let state = self.sources.get_mut(place.source() as usize).or_bug(NO_SOURCE);
        let count = state.and_then(|state| state.overdue.get_mut(place.kind()));
        let Some(count) = count.or_bug("there are two kinds of transport") else { return };
        let listed = &mut self.listed;
        if let Some(rank) = rank(listed, place, *count) {
            listed.remove(&rank);
        }
        *count = change(listed, *count);
        if let Some(rank) = rank(listed, place, *count) {
            listed.insert(rank);
        }
    }

    /// Remembers a failed hello of a source, if at most `max` of them are allowed and `max` is not 0.
    pub(crate) fn failed(&mut self, source: u32, now: Instant, max: u32) {
        if max > 0
            && let Some(state) = self.get_mut(source).or_bug(NO_SOURCE)
        {
            // At most all of them are remembered, none for longer than `MEMORY`.
            state.fails_until = state.fails_until.max(now).after(interval(max)).min(now + MEMORY);
        }
    }

    /// The link that makes way for another one: the oldest link of the source with the most overdue ones, only over lossy
    /// framed transports if `only_lossy`. A link is overdue if its deadline is not after `due`.
    pub(crate) fn makes_way(&mut self, only_lossy: bool, due: Instant) -> Option<u32> {
        for _ in 0..LOOKS_PER_CALL {
            let first = self.listed.range(Listed::Fresh(0, 0, Place(0)).key()..=last_of(1 << TAG)).next();
            // No further link is overdue.
            let Some(&fresh @ (_, until, which)) = first.filter(|&&(_, until, _)| until <= due.as_micros())
            else {
                break;
            };
            self.listed.remove(&fresh);
            // The key was made from such numbers.
            let (link, place) = ((which >> 32) as u32, Place(which & u64::from(u32::MAX)));
            self.change_overdue(place, |listed, count| {
                listed.insert(Listed::Overdue(place, until, link).key());
                count + 1
            });
        }
        let worst = |is_lossy: bool| {
            let first = Listed::crowds(is_lossy);
            self.listed.range((first, 0, 0)..=last_of(first | u64::from(u32::MAX))).next_back()
        };
        let (lossy, stream) = (worst(true), worst(false).filter(|_| !only_lossy));
        let count = |&&(first, older, _): &&Key| (first & u64::from(u32::MAX), older);
        let &(.., place) = lossy.into_iter().chain(stream).max_by_key(count)?;
        let oldest = oldest(&self.listed, Place(place)).or_bug("a source with that rank has such links");
        oldest.map(|(_, link)| link)
    }
}

/// The overdue link of a source that has waited longest, with its deadline.
fn oldest(listed: &KeySet, place: Place) -> Option<(u64, u32)> {
    let first = Listed::Overdue(place, 0, 0).key();
    // The key was made from a u32.
    listed.range(first..=last_of(first.0)).next().map(|&(_, until, link)| (until, link as u32))
}

/// The rank of a source among those whose links make way.
fn rank(listed: &KeySet, place: Place, count: u32) -> Option<Key> {
    oldest(listed, place).map(|(until, _)| Listed::Crowd(count, until, place).key())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_source_without_links_is_remembered_for_its_failures_and_no_longer_than_a_minute() {
        let mut sources = Sources::default();
        let one = sources.join(1);
        sources.part(one, at(0));
        assert!(sources.sources.is_empty() && sources.listed.is_empty());
        for _ in 0..100 {
            let one = sources.join(1);
            sources.failed(one, at(0), 10);
            sources.part(one, at(0));
        }
        assert_eq!((sources.sources.len(), sources.fading), (1, 1));
        let other = sources.join(2);
        sources.part(other, at(59));
        assert_eq!(sources.sources.len(), 1);
        let other = sources.join(2);
        sources.failed(other, at(60), 10);
        sources.part(other, at(60));
        assert_eq!((sources.sources.len(), sources.fading), (1, 1), "the first is forgotten");
    }

    #[test]
    fn of_too_many_sources_the_first_to_be_forgotten_goes() {
        let mut sources = Sources::default();
        for number in 0..5_000 {
            let source = sources.join(number);
            sources.failed(source, at(number / 1_000), 10);
            sources.part(source, at(number / 1_000));
            assert!(sources.sources.len() <= MAX_REMEMBERED as usize);
        }
        assert_eq!(sources.sources.len(), MAX_REMEMBERED as usize);
        assert!(sources.find(4_999).is_some() && sources.find(3_000).is_none());
        assert_eq!(sources.listed.len(), 2 * sources.sources.len());
    }

    /// Whatever comes and goes, the link that makes way is the one that a search of all would find.
    #[test]
    fn the_oldest_link_of_the_largest_crowd_makes_way() {
        let mut sources = Sources::default();
        let mut random = 7_u64;
        let mut draw = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % n
        };
        // Link, source, kind, until.
        let mut all: Vec<(u32, u32, bool, u64)> = Vec::new();
        let mut compared = 0;
        for round in 0..4_000_u32 {
            let now = u64::from(round) / 50;
            if draw(5) < 3 {
                let source = sources.join(draw(6));
                let is_lossy = draw(3) == 0;
                sources.wait(source, round, is_lossy, at(now + 5));
                all.push((round, source, is_lossy, now + 5));
            } else if !all.is_empty() {
                let (link, source, is_lossy, until) = all.swap_remove(draw(all.len() as u64) as usize);
                sources.heard(source, link, is_lossy, at(until));
                sources.part(source, at(now));
            }
            if round % 7 > 0 {
                continue;
            }
            let only_lossy = draw(3) == 0;
            let due = now + 3;
            let crowd = |source: u32, is_lossy: bool| {
                all.iter()
                    .filter(|&&(_, s, kind, until)| s == source && kind == is_lossy && until <= due)
                    .count()
            };
            let overdue = all.iter().filter(|&&(_, _, kind, until)| until <= due && (kind || !only_lossy));
            let best = overdue
                .clone()
                .map(|&(_, source, kind, until)| (crowd(source, kind), u64::MAX - until))
                .max();
            let found = sources.makes_way(only_lossy, at(due));
            let found = found.and_then(|link| all.iter().find(|&&(other, ..)| other == link));
            let found = found.map(|&(_, source, kind, until)| (crowd(source, kind), u64::MAX - until));
            assert_eq!(found, best, "round {round}");
            compared += usize::from(best.is_some());
        }
        assert!(compared > 100, "{compared}");
    }
}
