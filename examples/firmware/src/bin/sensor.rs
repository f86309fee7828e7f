//! The sensor node on a serial line that loses and damages nothing.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use e_pigeon_core::Framing;
use firmware::board::uart::UART0;
use firmware::{board, node};

#[entry]
fn main() -> ! {
    board::start();
    node::run(&UART0, Framing::Length)
}
