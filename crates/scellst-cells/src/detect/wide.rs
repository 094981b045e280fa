/// Runs a loop over rows as compiled for the widest vectors that the processor has (AVX2), found out at run time.
///
/// Products and sums are rounded one by one in either case (Rust never contracts them): the same bits on every machine.
#[inline(always)]
pub(crate) fn wide<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}
