/// What the tensors' shapes do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VitOptions {
    /// Heads of the attention; `None` is one for 64 features.
    pub heads: Option<usize>,
    /// Enlarge crops to this side first (bilinear); `None` takes them as they are.
    pub enlarge_to: Option<usize>,
    /// What becomes the features.
    pub pooling: VitPooling,
    /// Products of bfloat16, summed in f32: on the CPU those with weights, on a GPU those of the attention too. Norms,
    /// softmax and what blocks hand on stay f32. As [`ResNet::with_bf16`](crate::ResNet::with_bf16) in all else.
    pub bf16: bool,
}

/// Which tokens become the features, after the last norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VitPooling {
    /// The class token.
    #[default]
    Class,
    /// The mean of the patches.
    Mean,
    /// Both, one after the other.
    ClassAndMean,
}

impl VitOptions {
    /// From an encoder's name: `vit`, or `vit:heads=6,px=224,pool=mean,bf16` with any of the four; pools are `class`,
    /// `mean` and `class+mean`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("vit")?;
        let mut options = Self::default();
        if rest.is_empty() {
            return Some(options);
        }
        for part in rest.strip_prefix(':')?.split(',') {
            if part == "bf16" {
                options.bf16 = true;
                continue;
            }
            let number = |v: &str| v.parse().ok().filter(|n| (1..=4096).contains(n));
            match part.split_once('=')? {
                ("heads", v) => options.heads = Some(number(v)?),
                ("px", v) => options.enlarge_to = Some(number(v)?),
                ("pool", "class") => options.pooling = VitPooling::Class,
                ("pool", "mean") => options.pooling = VitPooling::Mean,
                ("pool", "class+mean") => options.pooling = VitPooling::ClassAndMean,
                _ => return None,
            }
        }
        Some(options)
    }

    /// As [`VitOptions::parse`] reads it.
    pub(crate) fn name(self) -> String {
        let pool = match self.pooling {
            VitPooling::Class => None,
            VitPooling::Mean => Some("pool=mean".to_owned()),
            VitPooling::ClassAndMean => Some("pool=class+mean".to_owned()),
        };
        let (heads, side) = (self.heads.map(|h| format!("heads={h}")), self.enlarge_to.map(|p| format!("px={p}")));
        let parts = [heads, side, pool, self.bf16.then(|| "bf16".to_owned())];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "vit".into() } else { format!("vit:{}", parts.join(",")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_all_options() {
        for name in
            ["vit", "vit:heads=6", "vit:px=224,bf16", "vit:heads=3,px=224,pool=class+mean", "vit:pool=mean", "vit:bf16"]
        {
            assert_eq!(VitOptions::parse(name).unwrap().name(), name);
        }
        for name in ["vi", "vitb", "vit:", "vit:heads=0", "vit:heads=x", "vit:depth=3", "vit:pool=max", "vit:bf16=1"] {
            assert_eq!(VitOptions::parse(name), None, "{name}");
        }
    }
}
