"""Images a second of timm's ViT-S/16 on two threads, in f32 and in autocast to bfloat16, beside `embed_speed vit`.

    python vit_speed.py [PIXELS [BATCH [SECONDS]]]      # timm 1.0.31, torch 2.13
"""

import sys
import time

import timm
import torch

pixels, batch, seconds = (int(v) for v in (sys.argv[1:] + ["48", "64", "8"][len(sys.argv) - 1 :]))
torch.set_num_threads(2)
model = timm.create_model("vit_small_patch16_224", pretrained=False, num_classes=0, img_size=pixels).eval()
images = torch.randn(batch, 3, pixels, pixels)
for name in ("float32", "bfloat16"):
    rates = []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=name == "bfloat16"):
        model(images)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(rates) < 5:
            start = time.perf_counter()
            model(images)
            rates.append(batch / (time.perf_counter() - start))
    rates.sort()
    print(f"{name}: {rates[len(rates) // 2]:.1f} images/s")
