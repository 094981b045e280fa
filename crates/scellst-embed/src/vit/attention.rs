use crate::cpu::{After, Buffer, Isa, Packed, Rows, Window, elementwise, multiply, padded};

/// One image's attention.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub isa: Isa,
    pub count: usize,
    /// Features of a head.
    pub width: usize,
    pub tokens: usize,
    /// Of queries, keys and values side by side.
    pub ld: usize,
    pub ld_out: usize,
}

/// Keys and values of a head as weights, and its scores.
#[derive(Default)]
pub(super) struct Workspace {
    packed: Option<(Packed, Packed)>,
    scores: Buffer,
}

/// `softmax(q k^T) v` of every head, the heads side by side; `q` is scaled.
pub(super) fn run(heads: Heads, qkv: &[f32], out: &mut [f32], workspace: &mut Workspace) {
    let Heads { isa, count, width, tokens, ld, ld_out } = heads;
    let dim = count * width;
    let Workspace { packed, scores } = workspace;
    let (keys, values) =
        packed.get_or_insert_with(|| (Packed::new(isa, 0, 0, |_, _| 0.0), Packed::new(isa, 0, 0, |_, _| 0.0)));
    let wide = padded(tokens);
    let scores = scores.resize(tokens * wide);
    for h in 0..count {
        let (k, v) = (&qkv[dim + h * width..], &qkv[2 * dim + h * width..]);
        keys.fill(width, tokens, |i, token| k[token * ld + i]);
        values.fill(tokens, width, |token, i| v[token * ld + i]);
        let every = Rows::Every { count: tokens, a: ld, c: wide };
        multiply(&qkv[h * width..], keys, scores, every, Window::whole(width), After::NOTHING);
        elementwise::softmax(isa, scores, wide, tokens);
        let every = Rows::Every { count: tokens, a: wide, c: ld_out };
        multiply(scores, values, &mut out[h * width..], every, Window::whole(tokens), After::NOTHING);
    }
}
