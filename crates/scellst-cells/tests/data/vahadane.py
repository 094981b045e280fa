"""Golden values of stain normalisation after Vahadane: SPAMS (spams-bin 2.6.14), called as staintools 2.1.2 calls it.

    pip install spams-bin==2.6.14 numpy pillow; python vahadane.py > vahadane.json

On stain-a.png and stain-b.png (stain.py). Densities are -ln((v + 1) / 240) as everywhere here (staintools: -ln(v / 255)),
stained pixels those without a channel below 0.15 (staintools: by luminosity), and pixels are rounded.

loss: SPAMS's own of the training (lasso amounts at lambda 0.1): colours that are better have a lower one.
amounts: lasso at lambda 0.1 of some densities with the colours of a. to_b: a with the stains of b, amounts at lambda 0.
"""
import json
import numpy as np
import spams
from PIL import Image

LAMBDA = 0.1


def densities(v):
    return -np.log((v.reshape(-1, 3).astype(float) + 1) / 240)


def lasso(od, colours, penalty):
    return spams.lasso(X=np.asfortranarray(od.T), D=np.asfortranarray(colours.T), mode=2, lambda1=penalty, pos=True,
                       numThreads=1).toarray().T


def learn(od):
    od = np.asfortranarray(od[(od >= 0.15).all(1)].T)
    # Seconds of 0.1 would do; iter makes it repeatable.
    d = spams.trainDL(X=od, K=2, lambda1=LAMBDA, mode=2, modeD=0, posAlpha=True, posD=True, verbose=False, iter=20000,
                      batchsize=512, numThreads=1).T
    d = d if d[0, 0] >= d[1, 0] else d[::-1]
    d = d / np.linalg.norm(d, axis=1)[:, None]
    amounts = lasso(od.T, d, LAMBDA)
    loss = (0.5 * ((od.T - amounts @ d) ** 2).sum(1) + LAMBDA * amounts.sum(1)).mean()
    return d, float(loss)


out = {"spams": "2.6.14"}
fits = {}
for name in "ab":
    od = densities(np.array(Image.open(f"stain-{name}.png")))
    colours, loss = learn(od)
    strengths = np.percentile(lasso(od, colours, 0.0), 99, axis=0)
    fits[name] = {"colours": colours, "strengths": strengths, "od": od}
    out[name] = {"vectors": colours.tolist(), "strengths": strengths.tolist(), "loss": loss}
a, b = fits["a"], fits["b"]
rng = np.random.default_rng(1)
some = rng.uniform(-0.1, 1.5, (30, 3))
out["densities"] = some.ravel().tolist()
out["amounts"] = lasso(some, a["colours"], LAMBDA).ravel().tolist()
amounts = lasso(a["od"], a["colours"], 0.0) * (b["strengths"] / a["strengths"])
to_b = 240 * np.exp(-(amounts @ b["colours"])) - 1
out["to_b"] = np.rint(to_b.clip(0, 255)).astype(np.uint8).tobytes().hex()
print(json.dumps(out, separators=(",", ":")))
