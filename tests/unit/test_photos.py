"""Photos as people have them become the same pixels."""

import base64
import io
import pickle
import zlib

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from data.errors import PhotoError
from data.faces.photos import decode, kind_of, register_decoders

register_decoders()
LIMIT = 10_000_000


def picture(width: int = 120, height: int = 80) -> Image.Image:
    """Four smooth corners, each of its own colour, so that turning shows."""
    corners = np.array([[[250, 20, 20], [20, 250, 20]], [[20, 20, 250], [240, 240, 240]]], np.uint8)
    return Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC)


def noisy() -> Image.Image:
    """320x240, every row with something in it."""
    values = np.random.default_rng(0).integers(20, 255, (240, 320, 3), dtype=np.uint8)
    return Image.fromarray(values)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "BMP", "TIFF"])
def test_every_kind_decodes_to_the_picture(kind: str) -> None:
    """The kinds that phones and browsers write."""
    photo = decode(saved(picture(), kind), LIMIT)
    assert (photo.width, photo.height, photo.format) == (120, 80, kind)
    difference = np.abs(photo.pixels.astype(int) - np.asarray(picture()))
    assert difference.mean() < (12 if kind == "GIF" else 5)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("L", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("1", "PNG"), ("I;16", "PNG"),
     ("CMYK", "JPEG"), ("L", "JPEG"), ("RGBA", "WEBP"), ("P", "GIF"),
     ("I;16", "TIFF"), ("CMYK", "TIFF"), ("RGBA", "TIFF")],
)  # fmt: skip
def test_every_mode_becomes_rgb(mode: str, kind: str) -> None:
    """Grey, alpha, palette, 16 bit, CMYK: RGB of about the right brightness."""
    if mode == "I;16":
        grey = np.asarray(picture().convert("L")).astype(np.uint16) * 257
        image = Image.fromarray(grey)
    else:
        image = picture().convert(mode)
    photo = decode(saved(image, kind), LIMIT)
    assert photo.pixels.shape == (80, 120, 3) and photo.pixels.dtype == np.uint8
    expected = np.asarray(picture().convert("L")).mean()
    assert np.asarray(Image.fromarray(photo.pixels).convert("L")).mean() == pytest.approx(
        expected, abs=12
    )


def test_transparency_lies_on_white() -> None:
    """What is transparent is white and not black."""
    photo = decode(saved(Image.new("RGBA", (9, 9), (0, 0, 0, 0)), "PNG"), LIMIT)
    assert (photo.pixels == 255).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation: int, kind: str) -> None:
    """However the camera was held, the picture is upright."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # the camera stores the inverse of what it asks for
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = picture().transpose(undo[orientation]) if orientation > 1 else picture()
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = decode(saved(stored, kind, exif=exif), LIMIT)
    assert (photo.width, photo.height) == (120, 80)
    assert np.abs(photo.pixels.astype(int) - np.asarray(picture())).mean() < 5


def test_heic_orientation_is_undone_once() -> None:
    """HEIC carries its turn in the container; it is applied once."""
    heif = pillow_heif.from_pillow(picture().transpose(Image.Transpose.ROTATE_90))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    heif.save(buffer, exif=exif.tobytes())
    photo = decode(buffer.getvalue(), LIMIT)
    assert (photo.width, photo.height) == (120, 80)
    assert np.abs(photo.pixels.astype(int) - np.asarray(picture())).mean() < 5


def test_large_jpegs_are_decoded_small_and_told_large() -> None:
    """A 24-megapixel JPEG is decoded at half its size; the answer speaks of the whole."""
    photo = decode(saved(picture(6000, 4000), "JPEG"), 50_000_000)
    assert (photo.width, photo.height) == (6000, 4000)
    assert photo.pixels.shape == (2000, 3000, 3)
    assert photo.scale == (2.0, 2.0)


def test_too_many_pixels_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The header alone decides; nothing is decoded."""
    data = saved(picture(400, 300), "PNG")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("was decoded"))
    with pytest.raises(PhotoError) as caught:
        decode(data, 100_000)
    assert caught.value.code == "too_many_pixels"
    assert caught.value.details == {"found_mp": 0.1, "limit_mp": 0.1}


def test_a_png_that_claims_terapixels_is_refused() -> None:
    """A decompression bomb is refused by its header."""
    data = bytearray(saved(picture(), "PNG"))
    data[16:24] = (2_000_000_000).to_bytes(4) * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4)
    with pytest.raises(PhotoError) as caught:
        decode(bytes(data), LIMIT)
    assert caught.value.code == "too_many_pixels"
    assert caught.value.details == {"found_mp": 4e12, "limit_mp": 10}
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.code, again.details, str(again)) == (
        "too_many_pixels", caught.value.details, str(caught.value),
    )  # fmt: skip


@pytest.mark.parametrize("lacking", [1, 2, 40])
def test_a_jpeg_that_lacks_its_last_bytes_is_read_as_viewers_do(lacking: int) -> None:
    """Without its end marker, or a few bytes more: the picture is there to its last rows."""
    data = saved(noisy(), "JPEG", quality=95)
    photo, whole = decode(data[:-lacking], LIMIT), decode(data, LIMIT)
    assert (photo.pixels[:208] == whole.pixels[:208]).all()
    assert np.abs(photo.pixels[:, :200].astype(int) - whole.pixels[:, :200]).mean() < 0.5
    assert not photo.cut_off


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_half_of_a_photo_is_needed(kind: str) -> None:
    """Three quarters of a file are a photo that is cut off; a fifth is damage."""
    data = saved(noisy(), kind)
    photo = decode(data[: len(data) * 3 // 4], LIMIT)
    assert photo.cut_off and photo.pixels.shape == (240, 320, 3)
    with pytest.raises(PhotoError) as caught:
        decode(data[: len(data) // 5], LIMIT)
    assert caught.value.code == "damaged_image"


def test_a_png_that_is_damaged_late_is_read_as_far_as_that() -> None:
    """Viewers show the rows before; damaged in its first half, it is refused."""
    whole = picture(320, 480)
    data = bytearray(saved(whole, "PNG"))
    late, early = len(data) * 80 // 100, len(data) * 20 // 100
    data[late : late + 12] = b"\xff" * 12
    photo = decode(bytes(data), LIMIT)
    assert photo.cut_off
    assert (photo.pixels[:300] == np.asarray(whole)[:300]).all()
    data[early : early + 12] = b"\xff" * 12
    with pytest.raises(PhotoError) as caught:
        decode(bytes(data), LIMIT)
    assert caught.value.code == "damaged_image"


@pytest.mark.parametrize("share", [0.998, 0.9, 0.6])
def test_a_progressive_jpeg_that_is_cut_off_lacks_detail_and_no_rows(share: float) -> None:
    """Viewers show it whole, a little softer; with the first scan's beginning it is refused."""
    data = saved(picture(320, 240), "JPEG", quality=95, progressive=True)
    photo = decode(data[: int(len(data) * share)], LIMIT)
    assert not photo.cut_off
    assert np.abs(photo.pixels.astype(int) - np.asarray(picture(320, 240))).mean() < 5
    with pytest.raises(PhotoError) as caught:
        decode(data[: data.index(b"\xff\xda") + 40], LIMIT)
    assert caught.value.code == "damaged_image"


@pytest.mark.parametrize("lacking", ["two bytes", "a tenth"])
@pytest.mark.parametrize(
    ("kind", "options", "shown"),
    [("JPEG", {}, True), ("PNG", {}, True), ("BMP", {}, True), ("GIF", {}, True),
     ("TIFF", {}, True), ("WEBP", {}, False), ("WEBP", {"lossless": True}, False),
     ("AVIF", {}, False),
     ("HEIF", {}, False), ("TIFF", {"compression": "tiff_lzw"}, False)],
)  # fmt: skip
def test_what_viewers_show_of_a_file_that_is_cut_off_is_read(
    kind: str, options: dict[str, object], shown: bool, lacking: str
) -> None:
    """As far as it goes; of WebP, AVIF and HEIC neither browsers nor libraries show anything."""
    data = saved(Image.fromarray(np.vstack([noisy()] * 2)), kind, **options)
    cut = data[:-2] if lacking == "two bytes" else data[: len(data) * 9 // 10]
    if shown:
        photo, whole = decode(cut, LIMIT), decode(data, LIMIT)
        assert (photo.pixels == whole.pixels).mean() > 0.75  # a BMP lacks its first rows
        assert photo.cut_off == (lacking == "a tenth")
        return
    with pytest.raises(PhotoError) as caught:
        decode(cut, LIMIT)
    assert caught.value.code == "damaged_image"


def test_decoders_are_quiet(recwarn: pytest.WarningsRecorder) -> None:
    """What Pillow thinks of a file's metadata is no line in the log of a server."""
    decode(saved(picture(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01"))
    assert not recwarn.list


def other_profile(space: str = "RGB ") -> bytes:
    """A profile unlike sRGB: red and green exchanged; or of grey, half as bright."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return (
        profile.tobytes()
        .replace(b"rXYZ", b"swap")
        .replace(b"gXYZ", b"rXYZ")
        .replace(b"swap", b"gXYZ")
        .replace("sRGB".encode("utf-16-be"), "else".encode("utf-16-be"))
    )


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_colour_profile_counts_in_every_mode(mode: str) -> None:
    """With transparency and with a palette as without: a browser shows these colours."""
    image = Image.new("RGB", (8, 8), (200, 30, 30)).convert(mode)
    r, g, _ = decode(saved(image, "PNG", icc_profile=other_profile())).pixels[0, 0].tolist()
    assert g > 150 and r < 100


@pytest.mark.parametrize(("gamma", "expected"), [(0.45455, 128), (1.0, 188), (0.55, 146)])
def test_a_png_that_says_its_gamma_is_shown_by_it(gamma: float, expected: int) -> None:
    """Computed by the formulas of PNG and sRGB; a file that says the usual is left as it is."""
    data = saved(Image.new("RGB", (8, 8), (128, 128, 128)), "PNG")
    chunk = b"gAMA" + round(gamma * 100_000).to_bytes(4)
    told = data[:33] + (4).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4) + data[33:]
    assert decode(told).pixels[0, 0].tolist() == pytest.approx([expected] * 3, abs=1)


def test_a_colour_profile_counts() -> None:
    """Colours are those that a browser shows, not the bare numbers of the file's own profile."""
    photo = Image.new("RGB", (8, 8), (200, 100, 50))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert decode(saved(photo, "PNG", icc_profile=srgb)).pixels[0, 0].tolist() == [200, 100, 50]
    assert decode(saved(photo, "PNG", icc_profile=b"none")).pixels[0, 0].tolist() == [200, 100, 50]


def test_absurd_exif_says_nothing() -> None:
    """A photo whose EXIF data are noise is shown as it lies."""
    photo = decode(saved(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"))
    assert (photo.width, photo.height) == (120, 80)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"data:image/png;base64,iVBORw0KGgo", "a data URI (text)"),
        (base64.b64encode(bytes(range(200))), "base64 text"),
        (b'{"image": "..."}', "JSON"),
        (b"%PDF-1.7", "a PDF"),
        (b"\0\0\0\x20ftypisom" + bytes(99), "a video"),
        (b"hello", "no image of a known kind"),
    ],
)
def test_what_is_no_photo_is_named(data: bytes, kind: str) -> None:
    """Base64, data URIs, JSON, videos: told what they are, and what is taken."""
    assert kind_of(data) == kind
    with pytest.raises(PhotoError, match="known are JPEG") as caught:
        decode(data)
    assert caught.value.code == "unsupported_image"


def test_the_first_frame_of_an_animation_is_the_photo() -> None:
    """Animated GIF and WebP: the first frame."""
    frames = [Image.new("RGB", (40, 30), c) for c in ("red", "blue")]
    for kind in ("GIF", "WEBP"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        assert decode(data, LIMIT).pixels[15, 20].tolist()[0] > 200
