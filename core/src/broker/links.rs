//! Links: one for each connection that the embedder has told us of.

use super::lossy::Lossy;
use super::ordered::{is_oversized, next_places, reserve_one, shrink_table};
use super::ready::LinkId;
use crate::bug::OrBug;
use crate::link::keep_alive::KeepAlive;
use crate::time::{Instant, Moment};
use crate::wire::control::{Abort, Control, Welcome};
use crate::wire::frame::Framing;
use crate::wire::item::{Deliver, DownItem, Origin};
use crate::wire::limits::MAX_HELLO;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU64;
use slab::Slab;

/// Why an entry must be in the table of links, if something else names it by its place.
pub(super) const NO_LINK: &str = "no such link: it has ended";

/// Where a link is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// A hello is awaited until then.
    Hello { until: Instant },
    /// Welcomed, with this session.
    Up { session: u32, keep_alive: KeepAlive },
    /// Nothing is read any more; what is left goes out, until then at most.
    Closing { until: Instant },
}

/// A frame that is being written, described so that it can be written again from its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) enum Frame {
    Control(Control<'static>),
    Item(DownItem<'static>),
    /// What it says lies with the link, because it may change while it is being written.
    Presence,
    /// The payload is that of a message.
    Deliver(u32, Deliver<'static>),
}

/// A frame of which a part is out: how long its body is, and how much of the whole is out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub(super) frame: Frame,
    pub(super) body: usize,
    pub(super) offset: usize,
}

impl Current {
    /// True where the frame has a number.
    pub(super) fn is_item(&self) -> bool {
        !matches!(self.frame, Frame::Control(_))
    }
}

/// A sender that the client knows by alias.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alias {
    serial: u64,
    last_id: u64,
    used: u64,
}

/// The senders that a client knows by alias on this link.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    known: Vec<Alias>,
    last: usize,
    clock: u64,
}

/// A link.
#[derive(Debug)]
pub(super) struct Link {
    generation: NonZeroU64,
    pub(super) phase: Phase,
    /// Where it comes from, in the table of sources.
    pub(super) source: u32,
    /// The front of a frame that is not whole.
    pub(super) partial: Vec<u8>,
    pub(super) frame_limit: usize,
    /// The id of the last message that came on this link.
    pub(super) last_id: u64,
    /// The destinations that the client knows by alias, in the table of destinations.
    pub(super) slots: Vec<u32>,
    pub(super) aliases: Aliases,
    /// The frame that is out in part, in the table of these.
    current: Option<u32>,
    /// The body of the last frame of presence.
    pub(super) presence: Vec<u8>,
    pub(super) welcome: Option<Box<Welcome>>,
    /// Its client was last given a window of nothing.
    pub(super) told_shut: bool,
    /// The client leaves; true where its session ends with that.
    pub(super) goodbye: Option<bool>,
    pub(super) farewell: bool,
    pub(super) abort: Option<Abort>,
    pub(super) ping_due: bool,
    /// The client's items wait until the broker has settled.
    pub(super) shut: bool,
    pub(super) close_listed: bool,
    /// The link whose session this one took over, until its ABORT is certain; and that one itself.
    pub(super) displaces: Option<LinkId>,
    pub(super) displaced: bool,
    /// When the first message that waits is over, where it did not fit the window.
    pub(super) head_ends_at: Moment,
    /// When its timer is due.
    pub(super) timer: Moment,
    /// Where its framing is lossy, until no hello may begin anew.
    pub(super) lossy: Option<Box<Lossy>>,
    is_lossy: bool,
    /// Its connection has ended behind what was read.
    pub(super) has_ended: bool,
    /// Another link has its place.
    made_way: bool,
}

/// The table of links.
#[derive(Debug)]
pub(super) struct Links {
    links: Slab<Link>,
    max: usize,
    /// Frames that are out in part. Few links have one, and it is large.
    currents: Slab<Current>,
    next_generation: NonZeroU64,
    lossy: usize,
    made_way: usize,
}

impl Link {
    /// The name of the link, whose index that is.
    #[inline]
    pub(super) fn id(&self, index: u32) -> LinkId {
        LinkId::new(index, self.generation)
    }

    /// The session that the link belongs to.
    #[inline]
    pub(super) fn session(&self) -> Option<u32> {
        match self.phase {
            Phase::Up { session, .. } => Some(session),
            Phase::Hello { .. } | Phase::Closing { .. } => None,
        }
    }

    /// Whether the window that its client has is nothing, if that has changed since the client was last told: because the
    /// broker settles, or because too many receipts wait.
    #[inline]
    pub(super) fn window_news(&self, narrow: bool) -> Option<bool> {
        let is_shut = self.shut || narrow;
        (is_shut != self.told_shut).then_some(is_shut)
    }

    /// True where its framing is lossy, whatever has become of it.
    pub(super) fn is_lossy(&self) -> bool {
        self.is_lossy
    }

    /// True where each call brings a whole datagram, of which nothing can be offered again.
    pub(super) fn takes_datagrams(&self) -> bool {
        self.lossy.as_ref().is_some_and(|lossy| lossy.takes_datagrams())
    }

    /// When something is to be done about it.
    pub(super) fn deadline(&self) -> Instant {
        let at = match self.phase {
            Phase::Hello { until } | Phase::Closing { until } => return until,
            Phase::Up { keep_alive, .. } if self.ping_due => keep_alive.dead_at(),
            Phase::Up { keep_alive, .. } => keep_alive.dead_at().min(keep_alive.ping_at()),
        };
        let lossy = self.lossy.as_ref().and_then(|lossy| lossy.deadline());
        [lossy, self.head_ends_at.get()].into_iter().flatten().fold(at, Instant::min)
    }

    /// True where everything that could be said was written.
    pub(super) fn is_done(&self) -> bool {
        let all_out = self.current.is_none() && self.abort.is_none() && !self.farewell && !self.displaced;
        let is_kept = self.lossy.as_ref().is_some_and(|lossy| lossy.lingers() || lossy.has_staged());
        matches!(self.phase, Phase::Closing { .. }) && all_out && !is_kept
    }

    /// The same transport begins a new link; returns the destinations that were known by alias.
    #[cfg(feature = "lossy")]
    pub(super) fn start_again(&mut self, until: Instant) -> Vec<u32> {
        if let Some(lossy) = &mut self.lossy {
            lossy.start_again();
        }
        self.phase = Phase::Hello { until };
        self.frame_limit = MAX_HELLO;
        (self.welcome, self.goodbye, self.abort) = (None, None, None);
        (self.farewell, self.ping_due, self.shut) = (false, false, false);
        (self.head_ends_at, self.displaced) = (Moment::NEVER, false);
        core::mem::take(&mut self.slots)
    }
}

impl Links {
    /// A table for so many.
    pub(super) fn new(max: u32) -> Self {
        Self {
            links: Slab::new(),
            max: max as usize,
            currents: Slab::new(),
            next_generation: NonZeroU64::MIN,
            lossy: 0,
            made_way: 0,
        }
    }

    /// How many have a place.
    pub(super) fn len(&self) -> usize {
        self.links.len() - self.made_way
    }

    /// How many of them are over lossy framed transports.
    pub(super) fn lossy(&self) -> usize {
        self.lossy
    }

    /// How many have made way for others and are not closed yet.
    pub(super) fn made_way(&self) -> usize {
        self.made_way
    }

    /// A link that was aborted before its hello gives its place to another one. True where nothing can be said on it.
    pub(super) fn make_way(&mut self, index: u32) -> bool {
        let link = self.links.get_mut(index as usize).filter(|link| !link.made_way);
        let Some(link) = link.or_bug("a link that waits has not made way") else { return false };
        link.made_way = true;
        link.partial = Vec::new();
        self.made_way += 1;
        self.lossy -= usize::from(link.is_lossy);
        if link.lossy.take().is_some() {
            link.abort = None;
        }
        link.is_lossy
    }

    /// True where most of the memory of these tables is not in use.
    pub(super) fn is_oversized(&self) -> bool {
        is_oversized(self.links.len(), self.links.capacity())
            || is_oversized(self.currents.len(), self.currents.capacity())
    }

    /// Gives back memory that is not in use.
    pub(super) fn give_back(&mut self) {
        shrink_table(&mut self.links);
        shrink_table(&mut self.currents);
    }

    pub(super) fn insert(&mut self, framing: Framing, source: u32, until: Instant) -> LinkId {
        let generation = self.next_generation;
        self.next_generation = generation.saturating_add(1);
        self.lossy += usize::from(framing.is_lossy());
        let link = Link {
            generation,
            phase: Phase::Hello { until },
            source,
            partial: Vec::new(),
            frame_limit: MAX_HELLO,
            last_id: 0,
            slots: Vec::new(),
            aliases: Aliases::default(),
            current: None,
            presence: Vec::new(),
            welcome: None,
            told_shut: false,
            goodbye: None,
            farewell: false,
            abort: None,
            ping_due: false,
            shut: false,
            close_listed: false,
            displaces: None,
            displaced: false,
            head_ends_at: Moment::NEVER,
            timer: Moment::NEVER,
            lossy: Lossy::new(framing),
            is_lossy: framing.is_lossy(),
            has_ended: false,
            made_way: false,
        };
        reserve_one(&mut self.links, self.max);
        let place = self.links.insert(link);
        // There are at most 2^30.
        LinkId::new(place as u32, generation)
    }

    /// The index of a link that is still there.
    #[inline]
    pub(super) fn find(&self, id: LinkId) -> Option<u32> {
        // There are at most 2^30.
        let index = id.index() as u32;
        self.get(index).filter(|link| link.id(index) == id).map(|_| index)
    }

    /// The name of a link.
    #[inline]
    pub(super) fn id(&self, index: u32) -> Option<LinkId> {
        self.get(index).map(|link| link.id(index))
    }

    /// Those that have a place, with their indices.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Link)> {
        // There are at most 2^30.
        self.links.iter().filter(|(_, link)| !link.made_way).map(|(index, link)| (index as u32, link))
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&Link> {
        self.links.get(index as usize)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Link> {
        self.links.get_mut(index as usize)
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<Link> {
        let link = self.links.try_remove(index as usize)?;
        self.made_way -= usize::from(link.made_way);
        self.lossy -= usize::from(link.is_lossy && !link.made_way);
        Some(link)
    }

    /// The frame of a link that is out in part.
    #[inline]
    pub(super) fn current(&self, index: u32) -> Option<&Current> {
        self.currents.get(self.get(index)?.current? as usize)
    }

    /// The same, which goes on or is given up.
    #[inline]
    pub(super) fn take_current(&mut self, index: u32) -> Option<Current> {
        let current = self.get_mut(index)?.current.take()?;
        self.currents.try_remove(current as usize)
    }

    /// A frame of a link is out in part.
    pub(super) fn keep_current(&mut self, index: u32, current: Current) {
        if let Some(link) = self.links.get_mut(index as usize).or_bug(NO_LINK) {
            // There is at most one for each link.
            link.current = Some(self.currents.insert(current) as u32);
        }
    }

    /// All have smaller indices.
    pub(super) fn places(&self) -> usize {
        self.links.capacity()
    }
}

impl Aliases {
    /// The alias of a sender, what defines it where it is new, and the step from the last id to this one.
    #[inline]
    pub(super) fn choose(
        &mut self,
        serial: u64,
        origin: Origin,
        id: u64,
        max: u16,
    ) -> (u8, Option<Origin>, i64) {
        self.clock += 1;
        let hit = match self.known.get(self.last) {
            Some(alias) if alias.serial == serial => Some(self.last),
            _ => self.known.iter().position(|alias| alias.serial == serial),
        };
        let (place, defines) = match hit {
            Some(place) => (place, false),
            None => (self.make_room(usize::from(max)), true),
        };
        self.last = place;
        let (step, used) = match self.known.get_mut(place) {
            Some(alias) => {
                if defines {
                    (alias.serial, alias.last_id) = (serial, 0);
                }
                let step = id.wrapping_sub(alias.last_id).cast_signed();
                alias.last_id = id;
                (step, &mut alias.used)
            }
            None => {
                bug!("an alias was given that there is not");
                return (0, Some(origin), id.cast_signed());
            }
        };
        *used = self.clock;
        // There are at most MAX_ALIASES.
        (place as u8, defines.then_some(origin), step)
    }

    /// A place for a new alias: that of the one used longest ago where there are as many as there may be.
    fn make_room(&mut self, max: usize) -> usize {
        if self.known.len() < max.max(1) {
            if self.known.len() == self.known.capacity() {
                self.known.reserve_exact(next_places(self.known.len(), max));
            }
            self.known.push(Alias { serial: 0, last_id: 0, used: 0 });
            return self.known.len() - 1;
        }
        let oldest = self.known.iter().enumerate().min_by_key(|(_, alias)| alias.used);
        oldest.or_bug("there is no alias to use again").map_or(0, |(place, _)| place)
    }
}
