use candle_core::Device;

use crate::PipelineError;

/// `cpu`, `cuda`, `cuda:N` or `metal` as a candle device.
///
/// # Errors
/// [`PipelineError::Misuse`] for another word, or a device that is not there or not built in; never falls back
/// silently.
pub fn parse_device(text: &str) -> Result<Device, PipelineError> {
    let failed = |e: candle_core::Error| {
        let hint = "build with --features cuda or metal on a machine that has one, or use --device cpu";
        let reason = e.to_string();
        let reason = reason.lines().next().unwrap_or_default();
        PipelineError::Misuse(format!("device {text} cannot be used: {reason}; {hint}"))
    };
    match text {
        "cpu" => Ok(Device::Cpu),
        "metal" => Device::new_metal(0).map_err(failed),
        "cuda" => Device::new_cuda(0).map_err(failed),
        _ => match text.strip_prefix("cuda:").map(str::parse) {
            Some(Ok(ordinal)) => Device::new_cuda(ordinal).map_err(failed),
            _ => Err(PipelineError::Misuse(format!("device must be cpu, cuda:N or metal, found \"{text}\""))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_not_there() {
        assert!(parse_device("cpu").is_ok());
        assert!(parse_device("gpu").unwrap_err().to_string().contains("cpu, cuda:N or metal"));
        assert!(parse_device("cuda:x").is_err());
        if !cfg!(feature = "cuda") {
            assert!(parse_device("cuda:0").unwrap_err().to_string().contains("--features cuda"));
        }
    }
}
