//! The kernels' sources, as they are compiled for a GPU when the first is wanted.

/// For NVRTC or nvcc.
#[cfg(any(feature = "cuda", test))]
pub(crate) const CUDA: &str = concat!(
    include_str!("../kernels/common.h"),
    include_str!("../kernels/segment.cu"),
    include_str!("../kernels/activation.cu"),
    include_str!("../kernels/training.cu"),
);

/// For Metal.
#[cfg(any(feature = "metal", test))]
pub(crate) const METAL: &str = concat!(
    include_str!("../kernels/common.h"),
    include_str!("../kernels/segment.metal"),
    include_str!("../kernels/activation.metal"),
    include_str!("../kernels/training.metal"),
);

/// One of the two.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Cuda,
    Metal,
}

/// The kernels that a source has, by name; those of CUDA also in bf16, without the losses and AdamW.
#[cfg(test)]
pub(crate) fn kernels(dialect: Dialect) -> Vec<String> {
    const BOTH: [&str; 16] = [
        "segment_sum",
        "segment_sum_grad",
        "segment_softplus",
        "segment_softplus_grad",
        "segment_weighted",
        "segment_weighted_by_x",
        "segment_weighted_by_w",
        "segment_max",
        "segment_max_grad",
        "segment_softmax",
        "segment_softmax_grad",
        "softplus",
        "softplus_grad",
        "bias_activation",
        "bias_activation_grad",
        "column_sum",
    ];
    const SINGLE: [&str; 6] = [
        "squared_error",
        "squared_error_grad",
        "negative_binomial",
        "negative_binomial_by_mean",
        "negative_binomial_by_theta",
        "adamw",
    ];
    let named = |suffix: &'static str| move |name: &&str| format!("{name}_{suffix}");
    let mut all: Vec<String> = BOTH.iter().chain(&SINGLE).map(named("f32")).collect();
    if dialect == Dialect::Cuda {
        all.extend(BOTH.iter().map(named("bf16")));
    }
    all
}
