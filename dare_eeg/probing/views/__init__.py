"""Views: windows as a method is asked of them: aligned, spoiled, or with electrodes made of others."""
