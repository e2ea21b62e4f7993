//! One export and no imports: the smallest useful library guest.

/// 1 where `number` is thirteen, else 0.
#[no_mangle]
pub extern "C" fn is_thirteen(number: u32) -> u32 {
    (number == 13).into()
}
