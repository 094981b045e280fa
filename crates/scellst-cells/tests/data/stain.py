"""Golden values of stain normalisation: Macenko by torchstain 1.4.1 (numpy), Reinhard by scikit-image 0.26.0's L*a*b*.

    pip install torchstain scikit-image pillow; python stain.py > stain.json

Also writes stain-a.png and stain-b.png: two synthetic pictures of two stains with noise, 48 x 48 px.
"""
import json
import numpy as np
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from torchstain.numpy.normalizers import NumpyMacenkoNormalizer


def picture(seed, vectors, strengths):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :48]
    h = strengths[0] * (0.5 + 0.5 * np.sin(x / 5)) ** 4
    e = strengths[1] * (0.5 + 0.5 * np.cos(y / 7 + x / 11))
    od = h[..., None] * vectors[0] + e[..., None] * vectors[1] + rng.normal(0, 0.01, (48, 48, 3))
    return np.clip(240 * np.exp(-od), 0, 255).astype(np.uint8)


a = picture(1, np.array([[0.62, 0.70, 0.35], [0.10, 0.95, 0.30]]), (1.4, 0.9))
b = picture(2, np.array([[0.55, 0.75, 0.36], [0.20, 0.85, 0.48]]), (1.0, 1.2))
Image.fromarray(a).save("stain-a.png")
Image.fromarray(b).save("stain-b.png")

fit = {}
for name, image in (("a", a), ("b", b)):
    n = NumpyMacenkoNormalizer()
    n.fit(image)
    assert (n.HERef > 0).all()
    fit[name] = {"vectors": n.HERef.T.tolist(), "strengths": n.maxCRef.tolist()}
n = NumpyMacenkoNormalizer()
reference = n.normalize(a, stains=False)[0]
n.fit(b)
to_b = n.normalize(a, stains=False)[0]

la, lb = rgb2lab(a), rgb2lab(b)
mean = lambda v: v.mean((0, 1))
dev = lambda v: v.std((0, 1))
reinhard = np.rint(255 * lab2rgb((la - mean(la)) / dev(la) * dev(lb) + mean(lb))).astype(np.uint8)
colours = {k: {"mean": mean(v).tolist(), "deviation": dev(v).tolist()} for k, v in (("a", la), ("b", lb))}
print(json.dumps({"fit": fit, "reference": reference.tobytes().hex(), "to_b": to_b.tobytes().hex(), "colours": colours,
                  "reinhard": reinhard.tobytes().hex()}))
