use super::net::{Block, Net};
use super::{ConvShape, ResNetDepth};
use crate::EmbedError;
use crate::cpu::{Border, Conv, Isa};
use crate::weights::Weights;

/// Of the batch norms: PyTorch's default.
const EPSILON: f32 = 1e-5;

/// The network of so many stages with its batch norms folded, and nothing of it left over in the file.
pub(super) fn network(depth: ResNetDepth, count: usize, file: &mut Weights) -> Result<Net, EmbedError> {
    file.find_prefix("layer1.0.conv1.weight");
    let isa = Isa::detect();
    let conv = |name: &str, bn: &str, [outputs, inputs, side]: [usize; 3], stride: usize| {
        let (weight, bias) = file.folded(name, bn, [outputs, inputs, side, side], EPSILON)?;
        Ok::<_, EmbedError>(Conv::new(isa, weight, bias, side, stride, Border::even(side / 2)))
    };
    let stem = conv("conv1", "bn1", [64, 3, 7], 2)?;
    let mut stages = Vec::new();
    stages.resize_with(count, Vec::new);
    for part in depth.parts(count) {
        let at = |name: &str| format!("{}.{name}", part.name);
        let layer = |(i, &(shape, stride)): (usize, &ConvShape)| {
            conv(&at(&format!("conv{}", i + 1)), &at(&format!("bn{}", i + 1)), shape, stride)
        };
        let convs = part.convs.iter().enumerate().map(layer).collect::<Result<_, _>>()?;
        let shortcut =
            part.shortcut.map(|(shape, stride)| conv(&at("downsample.0"), &at("downsample.1"), shape, stride));
        stages[part.stage].push(Block { convs, shortcut: shortcut.transpose()? });
    }
    // The last layer, or the projector in its place.
    file.finish(&["fc."])?;
    Ok(Net { isa, stem, stages })
}
