//! The broker, for clients on two serial lines.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware::{board, broker};

#[entry]
fn main() -> ! {
    board::start();
    broker::run()
}
