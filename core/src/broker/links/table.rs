//! The table of links: one for each connection that the embedder has announced.

use crate::broker::links::lossy::Lossy;
use crate::broker::store::{LinkId, is_oversized, next_places, reserve_one, shrink_table};
use crate::bug::OrBug;
use crate::link::keep_alive::KeepAlive;
#[cfg(feature = "lossy")]
use crate::link::recovery::Recovery;
use crate::time::{Instant, Moment};
use crate::wire::control::{Abort, Control, Welcome};
use crate::wire::frame::Framing;
use crate::wire::item::{Deliver, DownItem, Origin};
use crate::wire::limits::MAX_HELLO;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU64;
use slab::Slab;

/// The bug if another table names a link that is not there.
pub(crate) const NO_LINK: &str = "no such link: it has ended";

/// The phase of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LinkPhase {
    /// The link waits for a hello, until then.
    Hello { until: Instant },
    /// The link has this session.
    Up { session: u32, keep_alive: KeepAlive },
    /// The link reads nothing any more; its final frames go out, until then at most.
    Closing { until: Instant },
}

/// A frame that is being written, described so that it can be written again from its beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OutFrame {
    Control(Control<'static>),
    Item(DownItem<'static>),
    /// The body of the frame is in the link, because its content may change while it is being written.
    Presence,
    /// A delivery of that message, whose payload is in the table of messages.
    Deliver(u32, Deliver<'static>),
}

/// A frame that is written in part: the length of its body, and how many bytes of the frame are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnfinishedFrame {
    pub(crate) frame: OutFrame,
    pub(crate) body: usize,
    pub(crate) offset: usize,
}

impl UnfinishedFrame {
    /// True if the frame has a number.
    pub(crate) fn is_item(&self) -> bool {
        !matches!(self.frame, OutFrame::Control(_))
    }
}

/// A sender for which the client knows an alias.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alias {
    serial: u64,
    last_id: u64,
    used: u64,
}

/// The senders for which a client knows an alias on this link.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    known: Vec<Alias>,
    last: usize,
    clock: u64,
}

/// A link.
#[derive(Debug)]
pub(crate) struct Link {
    generation: NonZeroU64,
    pub(crate) phase: LinkPhase,
    /// The place of its source in the table of sources.
    pub(crate) source: u32,
    /// The front of an incomplete frame.
    pub(crate) partial: Vec<u8>,
    pub(crate) frame_limit: usize,
    /// The id of the last message that came on this link.
    pub(crate) last_id: u64,
    /// The destinations for which the client knows aliases, as places in the table of destinations.
    pub(crate) slots: Vec<u32>,
    pub(crate) aliases: Aliases,
    /// The frame that is written in part, as a place in its table.
    current: Option<u32>,
    /// The body of the last frame of presence.
    pub(crate) presence: Vec<u8>,
    pub(crate) welcome: Option<Box<Welcome>>,
    /// The last window of its client was shut.
    pub(crate) sent_shut: bool,
    /// The client leaves; true if its session ends with that.
    pub(crate) goodbye: Option<bool>,
    pub(crate) farewell: bool,
    pub(crate) abort: Option<Abort>,
    pub(crate) ping_due: bool,
    /// The items of the client wait until the broker has settled.
    pub(crate) shut: bool,
    pub(crate) close_listed: bool,
    /// The link that this one has displaced, until the ABORT of that is certain; and whether this link is a displaced one.
    pub(crate) displaces: Option<LinkId>,
    pub(crate) displaced: bool,
    /// The deadline of the first waiting message, if that did not fit the window.
    pub(crate) head_ends_at: Moment,
    /// When its timer is due.
    pub(crate) timer: Moment,
    /// The state of a link with lossy framing, until no hello may start it again.
    pub(crate) lossy: Option<Box<Lossy>>,
    is_lossy: bool,
    /// Its connection has ended behind the input that was read.
    pub(crate) has_ended: bool,
    /// Another link has its place.
    made_way: bool,
}

/// The table of links.
#[derive(Debug)]
pub(crate) struct Links {
    links: Slab<Link>,
    max: usize,
    /// Frames that are written in part. They are large, and few links have one.
    currents: Slab<UnfinishedFrame>,
    next_generation: NonZeroU64,
    lossy: usize,
    made_way: usize,
}

impl Link {
    /// The name of the link with that index.
    #[inline]
    pub(crate) fn id(&self, index: u32) -> LinkId {
        LinkId::new(index, self.generation)
    }

    #[inline]
    pub(crate) fn session(&self) -> Option<u32> {
        match self.phase {
            LinkPhase::Up { session, .. } => Some(session),
            LinkPhase::Hello { .. } | LinkPhase::Closing { .. } => None,
        }
    }

    /// Whether the window of the client is shut now, if the client does not know that yet. A window is shut while the
    /// broker settles, and if too many receipts wait.
    #[inline]
    pub(crate) fn window_news(&self, narrow: bool) -> Option<bool> {
        let is_shut = self.shut || narrow;
        (is_shut != self.sent_shut).then_some(is_shut)
    }

    /// True if its framing is lossy, even after its end.
    pub(crate) fn is_lossy(&self) -> bool {
        self.is_lossy
    }

    /// True if each call brings a whole datagram, which cannot be offered again.
    pub(crate) fn takes_datagrams(&self) -> bool {
        self.lossy.as_ref().is_some_and(|lossy| lossy.takes_datagrams())
    }

    /// The next deadline of the link.
    pub(crate) fn deadline(&self) -> Instant {
        let at = match self.phase {
            LinkPhase::Hello { until } | LinkPhase::Closing { until } => return until,
            LinkPhase::Up { keep_alive, .. } if self.ping_due => keep_alive.dead_at(),
            LinkPhase::Up { keep_alive, .. } => keep_alive.dead_at().min(keep_alive.ping_at()),
        };
        let lossy = self.lossy.as_ref().and_then(|lossy| lossy.deadline());
        [lossy, self.head_ends_at.get()].into_iter().flatten().fold(at, Instant::min)
    }

    /// True if the link is closing and has written everything.
    pub(crate) fn is_done(&self) -> bool {
        let all_out = self.current.is_none() && self.abort.is_none() && !self.farewell && !self.displaced;
        let is_kept = self.lossy.as_ref().is_some_and(|lossy| lossy.lingers() || lossy.has_staged());
        matches!(self.phase, LinkPhase::Closing { .. }) && all_out && !is_kept
    }

    /// Starts a new link on the same transport; returns the destinations that had aliases.
    #[cfg(feature = "lossy")]
    pub(crate) fn start_again(&mut self, until: Instant) -> Vec<u32> {
        if let Some(lossy) = &mut self.lossy {
            lossy.start_again();
        }
        self.phase = LinkPhase::Hello { until };
        self.frame_limit = MAX_HELLO;
        (self.welcome, self.goodbye, self.abort) = (None, None, None);
        (self.farewell, self.ping_due, self.shut) = (false, false, false);
        (self.head_ends_at, self.displaced) = (Moment::NEVER, false);
        core::mem::take(&mut self.slots)
    }
}

impl Links {
    /// Makes a table for that many links.
    pub(crate) fn new(max: u32) -> Self {
        Self {
            links: Slab::new(),
            max: max as usize,
            currents: Slab::new(),
            next_generation: NonZeroU64::MIN,
            lossy: 0,
            made_way: 0,
        }
    }

    /// The number of links that have a place.
    pub(crate) fn len(&self) -> usize {
        self.links.len() - self.made_way
    }

    /// The number of these over lossy framed transports.
    pub(crate) fn lossy_links(&self) -> usize {
        self.lossy
    }

    /// The number of links that have made way for others and are not closed yet.
    pub(crate) fn made_way(&self) -> usize {
        self.made_way
    }

    /// Takes the place from a link that was aborted before its hello. True if nothing can be written on it.
    pub(crate) fn make_way(&mut self, index: u32) -> bool {
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

    /// True if most of the memory of these tables is not in use.
    pub(crate) fn is_oversized(&self) -> bool {
        is_oversized(self.links.len(), self.links.capacity())
            || is_oversized(self.currents.len(), self.currents.capacity())
    }

    pub(crate) fn give_back(&mut self) {
        shrink_table(&mut self.links);
        shrink_table(&mut self.currents);
    }

    pub(crate) fn insert(&mut self, framing: Framing, source: u32, until: Instant) -> LinkId {
        let generation = self.next_generation;
        self.next_generation = generation.saturating_add(1);
        self.lossy += usize::from(framing.is_lossy());
        let link = Link {
            generation,
            phase: LinkPhase::Hello { until },
            source,
            partial: Vec::new(),
            frame_limit: MAX_HELLO,
            last_id: 0,
            slots: Vec::new(),
            aliases: Aliases::default(),
            current: None,
            presence: Vec::new(),
            welcome: None,
            sent_shut: false,
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
        // There are at most 2^30 links.
        LinkId::new(place as u32, generation)
    }

    /// The index of a link, unless it is gone.
    #[inline]
    pub(crate) fn find(&self, id: LinkId) -> Option<u32> {
        // There are at most 2^30 links.
        let index = id.index() as u32;
        self.get(index).filter(|link| link.id(index) == id).map(|_| index)
    }

    #[inline]
    pub(crate) fn id(&self, index: u32) -> Option<LinkId> {
        self.get(index).map(|link| link.id(index))
    }

    /// The links that have a place, with their indices.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Link)> {
        // There are at most 2^30 links.
        self.links.iter().filter(|(_, link)| !link.made_way).map(|(index, link)| (index as u32, link))
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&Link> {
        self.links.get(index as usize)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Link> {
        self.links.get_mut(index as usize)
    }

    /// The state of a link with lossy framing.
    #[cfg(feature = "lossy")]
    pub(crate) fn lossy(&mut self, index: u32) -> Option<&mut Lossy> {
        self.get_mut(index)?.lossy.as_deref_mut()
    }

    #[cfg(feature = "lossy")]
    pub(crate) fn recovery(&mut self, index: u32) -> Option<&mut Recovery> {
        Some(&mut self.lossy(index)?.link.recovery)
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<Link> {
        let link = self.links.try_remove(index as usize)?;
        self.made_way -= usize::from(link.made_way);
        self.lossy -= usize::from(link.is_lossy && !link.made_way);
        Some(link)
    }

    /// The frame of a link that is written in part.
    #[inline]
    pub(crate) fn current(&self, index: u32) -> Option<&UnfinishedFrame> {
        self.currents.get(self.get(index)?.current? as usize)
    }

    /// The same, to go on with it or to drop it.
    #[inline]
    pub(crate) fn take_current(&mut self, index: u32) -> Option<UnfinishedFrame> {
        let current = self.get_mut(index)?.current.take()?;
        self.currents.try_remove(current as usize)
    }

    /// Keeps a frame that is written in part.
    pub(crate) fn keep_current(&mut self, index: u32, current: UnfinishedFrame) {
        if let Some(link) = self.links.get_mut(index as usize).or_bug(NO_LINK) {
            // There is at most one for each link.
            link.current = Some(self.currents.insert(current) as u32);
        }
    }

    /// All links have smaller indices.
    pub(crate) fn places(&self) -> usize {
        self.links.capacity()
    }
}

impl Aliases {
    /// The alias of a sender, the origin that defines it if it is new, and the step from the last id to this one.
    #[inline]
    pub(crate) fn choose(
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

    /// A place for a new alias: if there are `max`, that of the one which was not used for the longest time.
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
