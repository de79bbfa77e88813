-- An older version moved the checkpoint to the target when it finished.
UPDATE builds SET finished = 1 WHERE passed = passes AND EXISTS (
    SELECT 1 FROM projections p WHERE p.name = builds.name AND p.generation = builds.generation AND p.sequence >= builds.target);
