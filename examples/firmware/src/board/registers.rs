//! Registers by their address.

/// Reads a register.
pub fn read(address: usize) -> u32 {
    // SAFETY: all addresses here are constants out of the data sheet, aligned, and of registers or RAM that nothing else
    // uses.
    unsafe { core::ptr::read_volatile(address as *const u32) }
}

/// Writes a register.
pub fn write(address: usize, value: u32) {
    // SAFETY: as above.
    unsafe { core::ptr::write_volatile(address as *mut u32, value) }
}

/// Sets bits of a register.
pub fn set(address: usize, bits: u32) {
    write(address, read(address) | bits);
}

/// Clears bits of a register.
pub fn clear(address: usize, bits: u32) {
    write(address, read(address) & !bits);
}
