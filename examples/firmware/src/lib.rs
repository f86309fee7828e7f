//! What the programs have in common: the board that they run on, and the node.
#![no_std]

pub mod board;
#[cfg(feature = "broker")]
pub mod broker;
#[cfg(feature = "broker")]
pub mod mux;
pub mod node;
pub mod text;

/// Nothing here panics, and `run` sees to that; where it does all the same, the watchdog of a product starts it again.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        cortex_m::asm::wfi();
    }
}
