"""Tables of the picture check: characters, references, thresholds, embeddings, verdicts."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from db.column_types import NOTHING, Moment, metadata, one_of

character_references = Table(
    "character_references",
    metadata,
    Column("character_id", UUID, ForeignKey("characters.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("r2_key", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("uploaded_at", Moment, comment="when it was in the bucket; null while it is kept in a folder alone"),
    Column("upload_tried_at", Moment, comment="when somebody last set out to upload it"),
)

reference_contents = Table(
    "reference_contents",
    metadata,
    Column("batch_id", UUID, ForeignKey("batches.id"), primary_key=True),
    # Addresses are long, and signed ones are secrets.
    Column("address_sha256", Text, primary_key=True),
    Column("content_sha256", Text, nullable=False, comment="of the picture when the batch's first row named it"),
)

threshold_versions = Table(
    "threshold_versions",
    metadata,
    Column("character_id", UUID, ForeignKey("characters.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("core", Float, nullable=False),
    Column("style", Float, nullable=False),
    Column("origin", Text, nullable=False, comment="'default' or 'calibrated (date, n, core AUC)'"),
    Column("aggregation", Text, nullable=False, server_default="max", comment="over the references"),
    Column("calibration", JSONB, comment="what was found where the thresholds were calibrated"),
    Column("style_decides", Boolean, nullable=False, server_default="true", comment="else style is advice only"),
    Column("model", Text, comment="the model the thresholds were fitted to; null for defaults"),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
    CheckConstraint("core BETWEEN -1 AND 1 AND style BETWEEN -1 AND 1", name="cosines"),
    one_of("aggregation", ("max", "mean")),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("asset_id", UUID, ForeignKey("generation_assets.id", ondelete="CASCADE"), primary_key=True),
    Column("character_id", UUID, ForeignKey("characters.id"), primary_key=True),
    Column("core", Float, nullable=False),
    Column("core_threshold", Float, nullable=False),
    Column("core_passed", Boolean, Computed("core >= core_threshold", persisted=True)),
    Column("style", Float, nullable=False),
    Column("style_threshold", Float, nullable=False),
    Column("style_passed", Boolean, Computed("style >= style_threshold", persisted=True)),
    Column("style_decides", Boolean, nullable=False, server_default="true", comment="else style is advice only"),
    Column(
        "passed",
        Boolean,
        Computed("core >= core_threshold AND (style >= style_threshold OR NOT style_decides)", persisted=True),
    ),
    Column("core_raw", Float),
    Column("core_corrected", Float),
    Column("style_raw", Float),
    Column("style_corrected", Float),
    Column("nearest", Integer, comment="position of the reference with the highest core_raw"),
    Column("crop", Integer, comment="which crop of a long picture was compared, from 1 at the left or top"),
    Column("crops", Integer, comment="how many crops the picture has; 1 for all but long ones"),
    Column("threshold_version", Integer, nullable=False),
    Column("threshold_origin", Text, nullable=False),
    Column("origin", JSONB, nullable=False, comment="model, revision, preprocessing, dtype, references"),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
)

embeddings = Table(
    "embeddings",
    metadata,
    Column("sha256", Text, primary_key=True, comment="of the picture's file"),
    Column("fingerprint", Text, primary_key=True, comment="of the model and its preprocessing"),
    Column("vector", LargeBinary, nullable=False, comment="the core embedding: float32, little endian"),
    Column("style", LargeBinary, nullable=False, comment="channel statistics: float32, little endian"),
    Column("further", LargeBinary, nullable=False, server_default="", comment="both of each further crop"),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
)

model_inputs = Table(
    "model_inputs",
    metadata,
    Column("asset_id", UUID, primary_key=True),
    Column("attempt_id", UUID, nullable=False, index=True),
    Column("pixels", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),
    Column("preprocessing", Text, nullable=False),
    # Unlogged: rows lost in a crash are rebuilt from the original pictures.
    prefixes=["UNLOGGED"],
)

scoring_models = Table(
    "scoring_models",
    metadata,
    Column("name", Text, primary_key=True),
    Column("preprocessing", JSONB, nullable=False),
    Column("preprocessing_digest", Text, nullable=False),
    Column("seen_at", Moment, nullable=False, server_default=func.now()),
)

embedding_frames = Table(
    "embedding_frames",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("model", Text, nullable=False, comment="name or path as configured"),
    Column("revision", Text, nullable=False, comment="digest of the weights"),
    Column("preprocessing", Text, nullable=False, comment="its digest"),
    Column("dtype", Text, nullable=False),
    Column("core_centre", LargeBinary, nullable=False),
    Column("style_centre", LargeBinary, nullable=False),
    Column("style_spread", LargeBinary, nullable=False),
    Column("arithmetic", JSONB, nullable=False, server_default=NOTHING, comment="device, and what was measured there"),
    Column("seen_at", Moment, nullable=False, server_default=func.now(), comment="when it was last loaded"),
)
