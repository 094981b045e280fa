use super::VitOptions;
use super::net::{Block, Linear, Mlp, Net, Norm};
use crate::EmbedError;
use crate::cpu::{Border, Conv, Isa};
use crate::weights::Weights;

/// What the tensors say that the network is like, and their values, packed.
pub(super) fn network(options: VitOptions, file: &mut Weights) -> Result<Net, EmbedError> {
    const PATCH: &str = "patch_embed.proj.weight";
    file.find_prefix(PATCH);
    let file = &*file;
    let isa = Isa::detect();
    let (dim, patch) = match file.shape(PATCH) {
        Some(&[dim, 3, p, q]) if p == q && p > 0 && dim > 0 => (dim, p),
        Some(other) => return Err(file.wrong(PATCH, "(dim, 3, patch, patch)".into(), format!("{other:?}"))),
        None => {
            return Err(file
                .get(PATCH, &[0, 3, 16, 16])
                .err()
                .unwrap_or_else(|| file.wrong(PATCH, "it".into(), "none".into())));
        }
    };
    let heads = options.heads.unwrap_or(dim / 64).max(1);
    if !dim.is_multiple_of(heads) {
        return Err(file.wrong(
            PATCH,
            format!("a width that {heads} heads share evenly (vit:heads=N)"),
            format!("{dim}"),
        ));
    }
    let weight = file.get(PATCH, &[dim, 3, patch, patch])?;
    let bias = match file.shape("patch_embed.proj.bias") {
        Some(_) => file.get("patch_embed.proj.bias", &[dim])?,
        None => vec![0.0; dim],
    };
    let patches = Conv::new(isa, weight, bias, patch, patch, Border::even(0));

    let class = match file.shape("cls_token") {
        Some(_) => file.get("cls_token", &[1, 1, dim])?,
        None => Vec::new(),
    };
    let name = ["reg_token", "register_tokens"].into_iter().find(|n| file.shape(n).is_some());
    let registers = match name {
        Some(name) => {
            let count = file.shape(name).and_then(|s| s.get(1).copied()).unwrap_or(0);
            file.get(name, &[1, count, dim])?
        }
        None => Vec::new(),
    };
    let prefix = (class.len() + registers.len()) / dim;
    let classes = class.len() / dim;

    const POSITIONS: &str = "pos_embed";
    let count = file.shape(POSITIONS).and_then(|s| s.get(1).copied()).unwrap_or(0);
    let positions = file.get(POSITIONS, &[1, count, dim])?;
    // Positions are those of the patches, and before them of the class token alone, of none, or of all tokens.
    let square = |n: usize| Some(n.isqrt()).filter(|s| s * s == n && n > 0);
    let own = [classes, 0, prefix].into_iter().find_map(|k| Some((k, square(count.checked_sub(k)?)?)));
    let Some((placed, side)) = own else {
        let expected = format!("positions of a square grid, with or without {prefix} tokens before");
        return Err(file.wrong(POSITIONS, expected, format!("{count}")));
    };
    let mut tokens = class;
    tokens.extend(registers);
    tokens.iter_mut().zip(&positions[..placed * dim]).for_each(|(t, p)| *t += p);

    let blocks = (0..).take_while(|b| file.shape(&format!("blocks.{b}.norm1.weight")).is_some());
    let blocks: Vec<Block> = blocks.map(|b| block(isa, file, b, (dim, heads), options)).collect::<Result<_, _>>()?;
    if blocks.is_empty() {
        // There is no network without any: this says which tensor is missing.
        file.get("blocks.0.norm1.weight", &[dim])?;
    }
    let norm = norm(file, "norm", dim)?;
    file.finish(&["head.", "mask_token", "dino_head.", "ibot_head."])?;
    Ok(Net {
        isa,
        dim,
        heads,
        patch,
        grid: (side, side),
        patches,
        tokens,
        positions: positions[placed * dim..].to_vec(),
        blocks,
        norm,
        classes,
    })
}

fn norm(file: &Weights, name: &str, dim: usize) -> Result<Norm, EmbedError> {
    Ok(Norm { weight: file.get(&format!("{name}.weight"), &[dim])?, bias: file.get(&format!("{name}.bias"), &[dim])? })
}

fn block(
    isa: Isa,
    file: &Weights,
    b: usize,
    (dim, heads): (usize, usize),
    options: VitOptions,
) -> Result<Block, EmbedError> {
    let at = |part: &str| format!("blocks.{b}.{part}");
    let scale = |name: &str| match file.shape(&at(name)) {
        Some(_) => file.get(&at(name), &[dim]),
        None => Ok(vec![1.0; dim]),
    };
    // The scale of a row of the weights, folded in.
    let linear = |name: &str, outputs: usize, inputs: usize, scale: &dyn Fn(usize) -> f32| {
        let weight = file.get(&at(&format!("{name}.weight")), &[outputs, inputs])?;
        let bias_name = at(&format!("{name}.bias"));
        let bias = match file.shape(&bias_name) {
            Some(_) => file.get(&bias_name, &[outputs])?,
            None => vec![0.0; outputs],
        };
        let bias = bias.iter().enumerate().map(|(o, v)| v * scale(o)).collect();
        let at = |i: usize, o: usize| weight[o * inputs + i] * scale(o);
        Ok::<_, EmbedError>(Linear::new(isa, inputs, bias, options.bf16, at))
    };
    let head = ((dim / heads) as f32).sqrt();
    // Queries over the root of a head's width.
    let qkv = linear("attn.qkv", 3 * dim, dim, &|o| if o < dim { 1.0 / head } else { 1.0 })?;
    let (scale1, scale2) = (scale("ls1.gamma")?, scale("ls2.gamma")?);
    let projection = linear("attn.proj", dim, dim, &|o| scale1[o])?;
    let (up, down) =
        if file.shape(&at("mlp.w12.weight")).is_some() { ("mlp.w12", "mlp.w3") } else { ("mlp.fc1", "mlp.fc2") };
    let sizes = |name: &str| match file.shape(&at(&format!("{name}.weight"))) {
        Some(&[outputs, inputs]) => (outputs, inputs),
        _ => (0, 0),
    };
    let (wide, hidden) = (sizes(up).0, sizes(down).1);
    if wide != hidden && wide != 2 * hidden {
        let name = at(&format!("{up}.weight"));
        return Err(file.wrong(&name, format!("{hidden} rows, or twice as many (SwiGLU)"), format!("{wide}")));
    }
    let mlp = Mlp {
        up: linear(up, wide, dim, &|_| 1.0)?,
        down: linear(down, dim, hidden, &|o| scale2[o])?,
        gated: wide != hidden,
        hidden,
    };
    Ok(Block { norm1: norm(file, &at("norm1"), dim)?, qkv, projection, norm2: norm(file, &at("norm2"), dim)?, mlp })
}
