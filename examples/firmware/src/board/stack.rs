//! How much of the stack was ever in use. The start-up code paints it; what is still painted was never touched.

use core::ptr::read_volatile;

/// The most bytes of stack that were in use at a time.
pub fn high_water() -> u32 {
    let top = (&raw const _stack_start) as usize;
    let mut at = cortex_m_rt::heap_start();
    // SAFETY: everything from the end of the statics to the top of the stack is RAM, aligned to words.
    while (at as usize) < top && unsafe { read_volatile(at) } == cortex_m_rt::STACK_PAINT_VALUE {
        at = at.wrapping_add(1);
    }
    (top - at as usize) as u32
}

unsafe extern "C" {
    static _stack_start: u32;
}
