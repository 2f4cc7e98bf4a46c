"""The check under the name and with the arguments of the owner's earlier pipeline, for scripts that call it so."""

from collections.abc import Sequence
from pathlib import Path

from likeness.client import connect
from likeness.records import CheckedPicture


class CLIPValidator:
    """Checks picture files against reference files, with the model and thresholds of the settings.

    CLIPValidator().validate_batch(
        generated_images=["out/*.png"], reference_image_paths=["references/*.png"], validation_type="core"
    )
    """

    def __init__(self, *, core_threshold: float | None = None, style_threshold: float | None = None) -> None:
        self._core, self._style = core_threshold, style_threshold

    def validate_batch(
        self,
        generated_images: Sequence[str | Path],
        reference_image_paths: Sequence[str | Path],
        validation_type: str = "core",
    ) -> Sequence[CheckedPicture]:
        """One result per picture, in order.

        Args:
            generated_images, reference_image_paths: files, folders, or patterns.
            validation_type: `core` (is it the character?) or `style` (is it drawn this way?).

        Raises:
            RequestError: one of them names nothing, or there is no such type.
            LikenessError: the model cannot be loaded; the sentence says what to do.
        """
        with connect() as connection:
            return connection.validate(
                generated_images,
                references=reference_image_paths,
                decides=validation_type,
                core=self._core if validation_type == "core" else None,
                style=self._style if validation_type == "style" else None,
            )
