"""What the finishing models do to a picture, as far as a stand-in can: twice the size, or the middle alone."""

from PIL import Image, ImageDraw


def enlarged(picture: Image.Image) -> Image.Image:
    """Twice as wide and high, without a detail that was not there."""
    return picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.LANCZOS)


def cut_out(picture: Image.Image) -> Image.Image:
    """An ellipse in the middle, where the drawings have their figure, and nothing around it."""
    mask = Image.new("L", picture.size, 0)
    width, height = picture.size
    box = (width * 0.12, height * 0.05, width * 0.88, height * 0.98)
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    cut = picture.convert("RGBA")
    cut.putalpha(mask)
    return cut
