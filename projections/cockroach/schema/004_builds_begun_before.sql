-- Of a build that an older version left, the next pass may have begun.
UPDATE builds SET begun = passed + 1;
