use super::ResNetDepth;
use super::net::{Block, Net};
use crate::EmbedError;
use crate::cpu::{Border, Conv, Isa};
use crate::weights::Weights;

/// Of the batch norms: PyTorch's default.
const EPSILON: f32 = 1e-5;

/// The network with its batch norms folded, and nothing of it left over in the file.
pub(super) fn network(depth: ResNetDepth, file: &mut Weights) -> Result<Net, EmbedError> {
    file.find_prefix("layer1.0.conv1.weight");
    let isa = Isa::detect();
    let conv = |name: &str, bn: &str, [outputs, inputs, side]: [usize; 3], stride: usize| {
        let (weight, bias) = file.folded(name, bn, [outputs, inputs, side, side], EPSILON)?;
        Ok::<_, EmbedError>(Conv::new(isa, weight, bias, side, stride, Border::even(side / 2)))
    };
    let stem = conv("conv1", "bn1", [64, 3, 7], 2)?;
    let mut stages = Vec::with_capacity(4);
    let mut channels = 64;
    for (s, &blocks) in depth.blocks().iter().enumerate() {
        let (within, out) = (64 << s, (64 << s) * depth.expansion());
        let mut stage = Vec::with_capacity(blocks);
        for b in 0..blocks {
            let at = |part: &str| format!("layer{}.{b}.{part}", s + 1);
            let part = |i: usize, shape: [usize; 3], stride: usize| {
                conv(&at(&format!("conv{i}")), &at(&format!("bn{i}")), shape, stride)
            };
            let stride = if s > 0 && b == 0 { 2 } else { 1 };
            let convs = if depth.expansion() == 1 {
                vec![part(1, [within, channels, 3], stride)?, part(2, [within, within, 3], 1)?]
            } else {
                // The stride is in the middle one ("v1.5"), as in torchvision.
                vec![
                    part(1, [within, channels, 1], 1)?,
                    part(2, [within, within, 3], stride)?,
                    part(3, [out, within, 1], 1)?,
                ]
            };
            let shortcut = if stride != 1 || channels != out {
                Some(conv(&at("downsample.0"), &at("downsample.1"), [out, channels, 1], stride)?)
            } else {
                None
            };
            stage.push(Block { convs, shortcut });
            channels = out;
        }
        stages.push(stage);
    }
    // The last layer, or the projector in its place.
    file.finish(&["fc."])?;
    Ok(Net { isa, stem, stages })
}
