-- What somebody deleted or wrote over of a copy, whose versions lie beneath and are read: NULL for nothing.
ALTER TABLE copies ADD COLUMN covered TEXT;
