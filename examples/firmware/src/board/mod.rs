//! The board: an LM3S6965 (Cortex-M3, 256 KiB of flash, 64 KiB of RAM), as QEMU has it too.

pub mod clock;
mod registers;
pub mod ring;
pub mod stack;
pub mod uart;

use registers::{read, set, write};

const RIS: usize = 0x400f_e050;
const RCC: usize = 0x400f_e060;
const RCGC1: usize = 0x400f_e104;
const RCGC2: usize = 0x400f_e108;

/// Bits of RCC: the crystal of 8 MHz and its oscillator; a PLL of 200 MHz, divided by four.
const BYPASS: u32 = 1 << 11;
const PLL_OFF: u32 = 1 << 13;
const DIVIDE: u32 = 1 << 22 | 3 << 23;
const CRYSTAL: u32 = 0xe << 6;
const MAIN_OSCILLATOR_OFF: u32 = 1;
const PLL_LOCKED: u32 = 1 << 6;

/// Noise for the boot number. The words are left alone at a reset: after power-up they are what the RAM came up with,
/// and QEMU's loader puts random bytes there. A product takes a random number generator, or a counter in its flash.
const NOISE: usize = 0x2000_fff0;

/// Brings up the clock of 50 MHz and gives the peripherals theirs. To be called once, first.
pub fn start() {
    write(RCC, BYPASS | PLL_OFF | CRYSTAL | 0x2);
    write(RCC, BYPASS | CRYSTAL | DIVIDE & !MAIN_OSCILLATOR_OFF);
    for _ in 0..100_000 {
        if read(RIS) & PLL_LOCKED != 0 {
            break;
        }
    }
    write(RCC, CRYSTAL | DIVIDE);
    // UART 0 and 1, timer 0; port A and D, whose pins they have.
    set(RCGC1, 1 | 1 << 1 | 1 << 16);
    set(RCGC2, 1 | 1 << 3);
    clock::start();
}

/// A number for [`boot`](e_pigeon_core::ClientConfig::boot): not the same after the next start.
pub fn boot() -> u64 {
    let number = u64::from(read(NOISE)) | u64::from(read(NOISE + 4)) << 32;
    // A restart without loss of power finds the words of the last one.
    let next = number.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
    write(NOISE, next as u32);
    write(NOISE + 4, (next >> 32) as u32);
    next
}
