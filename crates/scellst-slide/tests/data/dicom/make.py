"""Writes the DICOM files beside this script, and what OpenSlide and pydicom read from them.

Run with pydicom 3.0.2, imagecodecs 2026.3.6, pillow 13.0.0, numpy 2.4.6, openslide-python 1.4.7 and
openslide-bin 4.0.1.2:

    python make.py

`slide/` is a slide of two levels with label, overview and thumbnail; `split/` one in three parts; the files in
`single/` are one level each. `golden.json` and the PNGs are OpenSlide's, with pydicom's where OpenSlide refuses.
"""
import io, json, pathlib, shutil
import imagecodecs, numpy as np, openslide, pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import (ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000, JPEG2000Lossless,
                         JPEGBaseline8Bit, RLELossless)

here = pathlib.Path(__file__).parent
WSI = "1.2.840.10008.5.1.4.1.1.77.1.6"
ROOT = "1.2.826.0.1.3680043.8.498.20250"
MPP = (0.00025, 0.0005)  # mm along x and y


def noisy(w, h):
    """The picture of tests/common/mod.rs: lossless files must give it as it is."""
    y, x = np.mgrid[:h, :w]
    return np.stack([x * 7 + y * 3, x ^ y, x * y + x // 5], -1).astype(np.uint8)


def smooth(w, h, shrink=1):
    """For JPEG: waves."""
    y, x = np.mgrid[:h, :w] * shrink
    waves = [128 + 100 * np.sin(x / 17), 128 + 90 * np.cos(y / 13), 150 + 80 * np.sin((x + y) / 29)]
    return np.stack(waves, -1).astype(np.uint8)


def tiles(image, side):
    h, w, _ = image.shape
    full = np.full((-(-h // side) * side, -(-w // side) * side, 3), 255, np.uint8)
    full[:h, :w] = image
    return [((x, y), full[y:y + side, x:x + side]) for y in range(0, h, side) for x in range(0, w, side)]


def jpeg(tile, **options):
    out = io.BytesIO()
    Image.fromarray(tile).save(out, "JPEG", quality=85, optimize=True, **options)
    return out.getvalue()


def instance(path, series, number, size, tile, syntax, kind="VOLUME", photometric="RGB", organization="TILED_FULL",
             resampled=False, shrink=1):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = WSI
    meta.MediaStorageSOPInstanceUID = f"{ROOT}.{series}.{number}"
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = ROOT
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128), is_implicit_VR=syntax.is_implicit_VR,
                     is_little_endian=syntax.is_little_endian)
    ds.SOPClassUID, ds.SOPInstanceUID = WSI, meta.MediaStorageSOPInstanceUID
    ds.ImageType = ["DERIVED" if resampled else "ORIGINAL", "PRIMARY", kind, "RESAMPLED" if resampled else "NONE"]
    ds.StudyDate, ds.Modality = "20250101", "SM"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{ROOT}.9", f"{ROOT}.{series}"
    ds.FrameOfReferenceUID = f"{ROOT}.{series}.99"
    ds.SeriesNumber, ds.InstanceNumber = 1, number
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, photometric, 0
    ds.Rows, ds.Columns = tile[1], tile[0]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.TotalPixelMatrixColumns, ds.TotalPixelMatrixRows = size
    ds.TotalPixelMatrixFocalPlanes = 1
    ds.ImagedVolumeWidth, ds.ImagedVolumeHeight = size[0] * MPP[0] * shrink, size[1] * MPP[1] * shrink
    ds.ImagedVolumeDepth = 0.001
    ds.DimensionOrganizationType = organization
    ds.NumberOfOpticalPaths = 1
    path_item = Dataset()
    path_item.OpticalPathIdentifier, path_item.ObjectiveLensPower = "1", "40"
    ds.OpticalPathSequence = [path_item]
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [MPP[1] * shrink, MPP[0] * shrink], 0.001
    shared.PixelMeasuresSequence = [measures]
    ds.SharedFunctionalGroupsSequence = [shared]
    return ds


def place(ds, places):
    """Positions of the frames; with a height and an optical path where given."""
    groups = []
    for x, y, *more in places:
        group, position = Dataset(), Dataset()
        position.ColumnPositionInTotalImagePixelMatrix, position.RowPositionInTotalImagePixelMatrix = x + 1, y + 1
        position.XOffsetInSlideCoordinateSystem, position.YOffsetInSlideCoordinateSystem = "0", "0"
        position.ZOffsetInSlideCoordinateSystem = str(more[0]) if more else "0"
        group.PlanePositionSlideSequence = [position]
        if more:
            stain = Dataset()
            stain.OpticalPathIdentifier = more[1]
            group.OpticalPathIdentificationSequence = [stain]
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = groups


def save(ds, path, frames, table="basic", fragments=1):
    """`frames`: compressed streams, or arrays."""
    ds.NumberOfFrames = len(frames)
    if isinstance(frames[0], bytes):
        if table == "extended":
            data, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(frames)
        else:
            data = encapsulate(frames, fragments_per_frame=fragments, has_bot=table == "basic")
        ds.PixelData = data
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
    else:
        data = b"".join(np.ascontiguousarray(f).tobytes() for f in frames)
        data += bytes(len(data) % 2)
        big = ds.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
        if big:  # in words of two bytes
            data = np.frombuffer(data, "<u2").astype(">u2").tobytes()
        ds.PixelData = data
        ds["PixelData"].VR = "OW" if big or ds.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian else "OB"
    path.parent.mkdir(exist_ok=True)
    ds.save_as(path, enforce_file_format=True)


def only(image, side):
    return [t for _, t in tiles(image, side)]


for folder in ("slide", "split", "single"):
    shutil.rmtree(here / folder, ignore_errors=True)

# The slide. Level 0 with a basic offset table, level 1 and the thumbnail without.
L0, L1, SIDE = smooth(100, 70), smooth(50, 35, 2), 48
for number, (image, shrink, table) in enumerate([(L0, 1, "basic"), (L1, 2, "none")]):
    path = here / "slide" / f"level{number}.dcm"
    h, w, _ = image.shape
    ds = instance(path, 1, number, (w, h), (SIDE, SIDE), JPEGBaseline8Bit, photometric="YBR_FULL_422",
                  resampled=number > 0, shrink=shrink)
    save(ds, path, [jpeg(t) for t in only(image, SIDE)], table)
for number, (kind, image, syntax) in enumerate([
        ("LABEL", noisy(21, 15), ExplicitVRLittleEndian), ("OVERVIEW", smooth(60, 20, 3), JPEGBaseline8Bit),
        ("THUMBNAIL", smooth(25, 18, 4), JPEGBaseline8Bit)], 2):
    path = here / "slide" / f"{kind.lower()}.dcm"
    h, w, _ = image.shape
    compressed = syntax == JPEGBaseline8Bit
    ds = instance(path, 1, number, (w, h), (w, h), syntax, kind, "YBR_FULL_422" if compressed else "RGB",
                  resampled=kind == "THUMBNAIL", shrink=4 if kind == "THUMBNAIL" else 1)
    save(ds, path, [jpeg(image) if compressed else image], "none")

# One level, in three parts.
frames = [jpeg(t) for t in only(L0, SIDE)]
for part, (a, b) in enumerate([(0, 2), (2, 3), (3, 6)], 1):
    path = here / "split" / f"part{4 - part}.dcm"
    ds = instance(path, 2, part, (100, 70), (SIDE, SIDE), JPEGBaseline8Bit, photometric="YBR_FULL_422")
    ds.ConcatenationUID, ds.SOPInstanceUIDOfConcatenationSource = f"{ROOT}.2.50", f"{ROOT}.2.51"
    ds.InConcatenationNumber, ds.InConcatenationTotalNumber, ds.ConcatenationFrameOffsetNumber = part, 3, a
    save(ds, path, frames[a:b], "basic" if part == 1 else "none")

# One file each.
single = here / "single"
series = 10


def one(name, image, side, syntax, frames, **how):
    global series
    series += 1
    path = single / f"{name}.dcm"
    h, w, _ = image.shape
    options = {k: how.pop(k) for k in list(how) if k in ("photometric", "organization")}
    places, change = how.pop("places", None), how.pop("change", {})
    ds = instance(path, series, 1, (w, h), (side, side), syntax, **options)
    for key, value in change.items():
        setattr(ds, key, value)
    if places:
        place(ds, places)
    save(ds, path, frames, **how)


ycc = dict(photometric="YBR_FULL_422")
one("extended", L0, SIDE, JPEGBaseline8Bit, frames, table="extended", **ycc)
one("fragments", L0, SIDE, JPEGBaseline8Bit, frames, fragments=3, **ycc)
# Nothing in the streams says that they are RGB: the marker of Adobe's is taken out.
rgb = [jpeg(t, keep_rgb=True) for t in only(L0, SIDE)]
assert all(stream[2:4] == b"\xff\xee" for stream in rgb)
rgb = [stream[:2] + stream[18:] for stream in rgb]
one("jpeg-rgb", L0, SIDE, JPEGBaseline8Bit, rgb)
# Tiles 1 and 4 are missing, and the others come in no order.
order = [5, 0, 3, 2]
corners = [xy for xy, _ in tiles(L0, SIDE)]
one("sparse", L0, SIDE, JPEGBaseline8Bit, [frames[i] for i in order], organization="TILED_SPARSE",
    places=[corners[i] for i in order], **ycc)
N, SMALL = noisy(22, 13), 8
plain = only(N, SMALL)
one("explicit-little", N, SMALL, ExplicitVRLittleEndian, plain)
one("implicit-little", N, SMALL, ImplicitVRLittleEndian, plain)
# Of 7 x 7 px, so that frames begin in the middle of words.
one("explicit-big", N, 7, ExplicitVRBigEndian, only(N, 7))
one("planar", N, SMALL, ExplicitVRLittleEndian, [t.transpose(2, 0, 1) for t in plain], change={"PlanarConfiguration": 1})
j2k = lambda t, **o: imagecodecs.jpeg2k_encode(t, codecformat="j2k", **o)
one("jpeg2000-lossless", N, SMALL, JPEG2000Lossless, [j2k(t, reversible=True, mct=True) for t in plain], photometric="YBR_RCT")
one("jpeg2000", L0, SIDE, JPEG2000, [j2k(t, level=40, mct=True) for t in only(L0, SIDE)], photometric="YBR_ICT")
# Two focal planes and two stains; that of stain A on the slide's surface is to be shown.
corners = [xy for xy, _ in tiles(N, SMALL)]
other = [(xy, 255 - t) for xy, t in tiles(N, SMALL)]
one("sparse-planes", N, SMALL, ExplicitVRLittleEndian,
    [t for _, t in other[:2]] + plain + [t for _, t in other[2:4]], organization="TILED_SPARSE",
    places=[(*xy, 2.5, "A") for xy in corners[:2]] + [(*xy, 0, "A") for xy in corners] +
           [(*xy, 0, "B") for xy in corners[2:4]], change={"NumberOfOpticalPaths": 2, "TotalPixelMatrixFocalPlanes": 2})
one("full-planes", N, SMALL, ExplicitVRLittleEndian, plain + [t for _, t in other],
    change={"TotalPixelMatrixFocalPlanes": 2})
ds = pydicom.dcmread(single / "explicit-little.dcm")
ds.SeriesInstanceUID, ds.SOPInstanceUID = f"{ROOT}.40", f"{ROOT}.40.1"
ds.compress(RLELossless, generate_instance_uid=False)
ds.save_as(single / "rle.dcm", enforce_file_format=True)

golden = {}
for path in sorted(here.glob("s*/*.dcm")):
    name = f"{path.parent.name}/{path.name}"
    try:
        slide = openslide.OpenSlide(path)
    except openslide.OpenSlideError as e:
        golden[name] = {"error": str(e).split(": ", 1)[-1]}
        continue
    golden[name] = {
        "levels": slide.level_dimensions, "mpp": [float(slide.properties[f"openslide.mpp-{a}"]) for a in "xy"],
        "power": slide.properties.get("openslide.objective-power"),
        "associated": {k: v.size for k, v in slide.associated_images.items()}}
    if name in ("slide/level0.dcm", "single/sparse.dcm", "single/jpeg2000.dcm", "single/jpeg-rgb.dcm"):
        for level, size in enumerate(slide.level_dimensions):
            region = slide.read_region((0, 0), level, size)
            image = Image.new("RGB", size, (255, 255, 255))
            image.paste(region, mask=region.getchannel("A"))
            image.save(here / f"{name.split('/')[-1][:-4]}-{level}.png", optimize=True)
for name, image in openslide.OpenSlide(here / "slide" / "level0.dcm").associated_images.items():
    image.convert("RGB").save(here / f"{name}.png", optimize=True)
(here / "golden.json").write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in golden.items()) + "\n}\n")
