//! Time: the system timer, which counts on while the processor sleeps, and a general timer as the alarm that wakes it.

use super::registers::{read, write};
use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m_rt::exception;
use e_pigeon_core::Instant;
use lm3s6965::{Interrupt, interrupt};

const CYCLES_PER_MICRO: u64 = 50;

const SYSTICK_CONTROL: usize = 0xe000_e010;
const SYSTICK_RELOAD: usize = 0xe000_e014;
const SYSTICK_VALUE: usize = 0xe000_e018;
/// The timer has 24 bits.
const PERIOD: u32 = 1 << 24;

const TIMER_CONFIG: usize = 0x4003_0000;
const TIMER_MODE: usize = 0x4003_0004;
const TIMER_CONTROL: usize = 0x4003_000c;
const TIMER_MASK: usize = 0x4003_0018;
const TIMER_CLEAR: usize = 0x4003_0024;
const TIMER_LOAD: usize = 0x4003_0028;

/// How often the system timer has come round.
static ROUNDS: AtomicU32 = AtomicU32::new(0);

/// Starts both timers.
pub(super) fn start() {
    write(SYSTICK_RELOAD, PERIOD - 1);
    write(SYSTICK_VALUE, 0);
    // On, with its interrupt, from the clock of the processor.
    write(SYSTICK_CONTROL, 0b111);
    // One word of 32 bits, once.
    write(TIMER_CONTROL, 0);
    write(TIMER_CONFIG, 0);
    write(TIMER_MODE, 1);
    write(TIMER_MASK, 1);
    // SAFETY: what the interrupt touches is the timer alone.
    unsafe { cortex_m::peripheral::NVIC::unmask(Interrupt::TIMER_0A) };
}

#[exception]
fn SysTick() {
    ROUNDS.store(ROUNDS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

#[interrupt]
fn TIMER_0A() {
    // That it has woken the processor is all that it is for.
    write(TIMER_CLEAR, 1);
}

/// The time since the start. Not to be called where interrupts are off.
pub fn now() -> Instant {
    let mut rounds = ROUNDS.load(Ordering::Relaxed);
    loop {
        let left = read(SYSTICK_VALUE);
        let again = ROUNDS.load(Ordering::Relaxed);
        if again == rounds {
            let cycles = u64::from(rounds) * u64::from(PERIOD) + u64::from((PERIOD - 1).saturating_sub(left));
            return Instant::from_micros(cycles / CYCLES_PER_MICRO);
        }
        // It came round in between.
        rounds = again;
    }
}

/// Sleeps until that time or the next interrupt, whichever comes first; not at all where `is_awake` says so, which is
/// asked when no interrupt can come in between any more.
pub fn sleep_until(deadline: Option<Instant>, is_awake: impl FnOnce() -> bool) {
    let left = match deadline {
        Some(at) => at.as_micros().saturating_sub(now().as_micros()),
        None => u64::MAX,
    };
    if left == 0 {
        return;
    }
    write(TIMER_CONTROL, 0);
    // Whoever is woken early looks at the clock and sleeps again.
    let cycles = u32::try_from(left.saturating_mul(CYCLES_PER_MICRO)).unwrap_or(u32::MAX);
    write(TIMER_LOAD, cycles);
    write(TIMER_CONTROL, 1);
    cortex_m::interrupt::free(|_| {
        if !is_awake() {
            // An interrupt that is pending wakes it, and is served when they are on again.
            cortex_m::asm::wfi();
        }
    });
}
