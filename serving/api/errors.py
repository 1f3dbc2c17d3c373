"""What can go wrong for a caller: one stable code each, in English and Indonesian.

In: a code and the values of its text. Out: ApiError, which app.py answers as

    {"error": {"code": "too_many_pixels", "message": "…", "details": {…}, "request_id": "…"}}

Codes never change; texts may. The language is that of `?lang=` or Accept-Language.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

Language = Literal["en", "id"]

Code = Literal[
    "invalid_request",
    "unauthorized",
    "not_found",
    "method_not_allowed",
    "other_labels",
    "upload_timeout",
    "too_many_bytes",
    "too_many_pixels",
    "too_many_faces",
    "too_many_crops",
    "unsupported_image",
    "damaged_image",
    "empty_file",
    "rate_limited",
    "client_gone",
    "internal",
    "busy",
    "no_model",
    "timeout",
]

CATALOG: Final[Mapping[Code, tuple[int, str, str]]] = {
    "invalid_request": (
        422,
        "The request is not as the API expects it: {problem}.",
        "Permintaan tidak sesuai dengan API: {problem}.",
    ),
    "unauthorized": (
        401,
        "This service asks for a key. Send it as X-API-Key.",
        "Layanan ini memerlukan kunci. Kirimkan sebagai X-API-Key.",
    ),
    "not_found": (
        404,
        "There is nothing here. /docs lists what there is (for videos: see /docs, too); uploads "
        "are forgotten after minutes.",
        "Tidak ada apa pun di sini. /docs memuat yang ada (untuk video: lihat /docs juga); "
        "unggahan segera dihapus.",
    ),
    "method_not_allowed": (
        405,
        "This address does not know that method.",
        "Alamat ini tidak mengenal metode tersebut.",
    ),
    "other_labels": (
        409,
        "These routes know the labels female and male only; this model answers {labels}. "
        "Use /v1/faces.",
        "Rute ini hanya mengenal label perempuan dan laki-laki; model ini menjawab {labels}. "
        "Gunakan /v1/faces.",
    ),
    "upload_timeout": (
        408,
        "The photo did not arrive within {limit_s:g} seconds. Try again, or send a smaller one.",
        "Foto tidak tiba dalam {limit_s:g} detik. Coba lagi, atau kirim foto yang lebih kecil.",
    ),
    "too_many_bytes": (
        413,
        "The file is too large: {limit_mib:g} MiB is the limit. Send a smaller copy.",
        "Berkas terlalu besar: batasnya {limit_mib:g} MiB. Kirim salinan yang lebih kecil.",
    ),
    "too_many_pixels": (
        413,
        "The photo has {found_mp} million pixels; {limit_mp:g} million are the limit. "
        "Send a smaller copy.",
        "Foto berukuran {found_mp} juta piksel; batasnya {limit_mp:g} juta. "
        "Kirim salinan yang lebih kecil.",
    ),
    "too_many_faces": (
        422,
        "{found} faces were found; {limit} is the limit. Cut the photo into parts.",
        "Ditemukan {found} wajah; batasnya {limit}. Potong foto menjadi beberapa bagian.",
    ),
    "too_many_crops": (
        422,
        "{found} crops were sent; {limit} is the limit. Send them in parts.",
        "Terkirim {found} potongan; batasnya {limit}. Kirim beberapa bagian.",
    ),
    "unsupported_image": (
        415,
        "This is {found}, not a photo. Send the bytes of a file, as the form field 'file' or as "
        "the whole body. Taken are {known}.",
        "Ini bukan foto ({found}). Kirim isi berkas sebagai kolom formulir 'file' atau sebagai "
        "seluruh isi permintaan. Yang diterima: {known}.",
    ),
    "damaged_image": (
        422,
        "The photo cannot be read: the file is damaged or cut off. Send the original, or open it "
        "in a viewer and save it anew.",
        "Foto tidak dapat dibaca: berkas rusak atau terpotong. Kirim berkas aslinya, atau buka di "
        "penampil gambar lalu simpan kembali.",
    ),
    "empty_file": (422, "The file is empty.", "Berkas kosong."),
    "rate_limited": (
        429,
        "Too many requests. Wait {retry_after_s} seconds.",
        "Terlalu banyak permintaan. Tunggu {retry_after_s} detik.",
    ),
    "client_gone": (499, "The client went away.", "Klien memutuskan sambungan."),
    "internal": (
        500,
        "Something went wrong here. It is logged under the request id.",
        "Terjadi kesalahan di sini. Kesalahan dicatat dengan nomor permintaan.",
    ),
    "busy": (
        503,
        "Too many photos are waiting. Try again in {retry_after_s} seconds.",
        "Terlalu banyak foto menunggu. Coba lagi dalam {retry_after_s} detik.",
    ),
    "no_model": (
        503,
        "No release is loaded yet. Publish one, or see /readyz.",
        "Belum ada rilis yang dimuat. Terbitkan satu, atau lihat /readyz.",
    ),
    "timeout": (
        504,
        "The photo took longer than {limit_s:g} seconds. Send a smaller copy, or send it when "
        "less is going on here.",
        "Foto memerlukan lebih dari {limit_s:g} detik. Kirim salinan yang lebih kecil, atau kirim "
        "saat layanan tidak sibuk.",
    ),
}

CODES: Final[tuple[Code, ...]] = get_args(Code)


class ApiError(Exception):
    """An error response.

    Args:
      code: see Code.
      **details: values of the text; also in the answer's `details`.
    """

    def __init__(self, code: Code, **details: Any) -> None:
        super().__init__(code, details)
        self.code, self.details = code, details

    @property
    def status(self) -> int:
        """HTTP status."""
        return CATALOG[self.code][0]

    @property
    def headers(self) -> dict[str, str]:
        """Retry-After where there is a time to wait."""
        wait_s = self.details.get("retry_after_s")
        return {} if wait_s is None else {"Retry-After": str(wait_s)}

    def text(self, language: Language) -> str:
        """Returns the text for people."""
        _, english, indonesian = CATALOG[self.code]
        return (english if language == "en" else indonesian).format_map(self.details)

    def body(self, language: Language, request_id: str) -> dict[str, Any]:
        """Returns the answer's JSON."""
        return {
            "error": {
                "code": self.code,
                "message": self.text(language),
                "details": self.details,
                "request_id": request_id,
            }
        }


def language_of(query: str | None, accept_language: str | None) -> Language:
    """Chooses between the two; English unless Indonesian is asked for or preferred."""
    if query in ("en", "id"):
        return "id" if query == "id" else "en"
    for part in (accept_language or "").lower().split(","):
        tag = part.split(";")[0].strip().split("-")[0]
        if tag in ("id", "in"):  # "in" is what old browsers call Indonesian
            return "id"
        if tag == "en":
            return "en"
    return "en"
