//! A serial line: what comes in is taken by the interrupt, what goes out is put into the FIFO, and where that is full an
//! interrupt tells when there is room.

use super::registers::{clear, read, set, write};
use super::ring::Ring;
use lm3s6965::{Interrupt, interrupt};

const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const BAUD: usize = 0x24;
const BAUD_FRACTION: usize = 0x28;
const LINE: usize = 0x2c;
const CONTROL: usize = 0x30;
const LEVELS: usize = 0x34;
const MASK: usize = 0x38;
const CLEAR: usize = 0x44;

const RECEIVE_EMPTY: u32 = 1 << 4;
const TRANSMIT_FULL: u32 = 1 << 5;
const TRANSMIT_EMPTY: u32 = 1 << 7;
/// Bytes that the FIFO holds.
const FIFO: usize = 16;
/// The FIFO is half full, or something waits in it.
const RECEIVE: u32 = 1 << 4 | 1 << 6;
const TRANSMIT: u32 = 1 << 5;

/// A serial line.
pub struct Uart {
    base: usize,
    pins: usize,
    pin_bits: u32,
    interrupt: Interrupt,
    received: Ring,
}

/// Pins 0 and 1 of port A.
pub static UART0: Uart = Uart::new(0x4000_c000, 0x4000_4000, 0b11, Interrupt::UART0);
/// Pins 2 and 3 of port D.
pub static UART1: Uart = Uart::new(0x4000_d000, 0x4000_7000, 0b1100, Interrupt::UART1);

impl Uart {
    const fn new(base: usize, pins: usize, pin_bits: u32, interrupt: Interrupt) -> Self {
        Self { base, pins, pin_bits, interrupt, received: Ring::new() }
    }

    /// Starts the line: 115,200 baud, 8 bits, no parity.
    pub fn start(&self) {
        // Alternate function and digital enable.
        set(self.pins + 0x420, self.pin_bits);
        set(self.pins + 0x51c, self.pin_bits);
        write(self.base + CONTROL, 0);
        // 50 MHz / (16 * 115,200) = 27 + 8/64.
        write(self.base + BAUD, 27);
        write(self.base + BAUD_FRACTION, 8);
        write(self.base + LINE, 0b111_0000);
        // Half full, half empty.
        write(self.base + LEVELS, 0b01_0010);
        write(self.base + MASK, RECEIVE);
        write(self.base + CONTROL, 0b11_0000_0001);
        // SAFETY: what the interrupt shares with the program is locked.
        unsafe { cortex_m::peripheral::NVIC::unmask(self.interrupt) };
    }

    /// Moves what came in to the front of `buffer`, and returns it.
    pub fn read<'b>(&self, buffer: &'b mut [u8]) -> &'b [u8] {
        let count = self.received.pop(buffer);
        cortex_m::interrupt::free(|_| {
            // What had no room may have it now; no interrupt comes for what is in the FIFO already.
            set(self.base + MASK, RECEIVE);
            self.drain();
        });
        buffer.get(..count).unwrap_or_default()
    }

    /// True where something came in.
    pub fn has_input(&self) -> bool {
        !self.received.is_empty()
    }

    /// How many bytes the line takes now. Where it takes none, an interrupt follows when it does.
    pub fn room(&self) -> usize {
        let flags = read(self.base + FLAGS);
        if flags & TRANSMIT_EMPTY != 0 {
            return FIFO;
        }
        let room = usize::from(flags & TRANSMIT_FULL == 0);
        if room == 0 {
            cortex_m::interrupt::free(|_| set(self.base + MASK, TRANSMIT));
        }
        room
    }

    /// Writes bytes, waiting for room where there is none.
    pub fn write(&self, bytes: &[u8]) {
        for byte in bytes {
            while read(self.base + FLAGS) & TRANSMIT_FULL != 0 {}
            write(self.base + DATA, u32::from(*byte));
        }
    }

    fn serve(&self) {
        // First of all: what comes from here on is told by an interrupt of its own.
        write(self.base + CLEAR, RECEIVE | TRANSMIT);
        // It has woken the program, which asks again where it has more to write.
        clear(self.base + MASK, TRANSMIT);
        self.drain();
    }

    /// Moves what is in the FIFO to the ring, as far as it has room.
    fn drain(&self) {
        while read(self.base + FLAGS) & RECEIVE_EMPTY == 0 {
            if self.received.is_full() {
                // It waits in the FIFO, and then at the other end, where that heeds it.
                clear(self.base + MASK, RECEIVE);
                break;
            }
            // The upper bits say what was wrong with the byte; the protocol finds that by itself.
            self.received.push((read(self.base + DATA) & 0xff) as u8);
        }
    }
}

#[interrupt]
fn UART0() {
    self::UART0.serve();
}

#[interrupt]
fn UART1() {
    self::UART1.serve();
}
