"""How fast images travel, beside other tools."""
