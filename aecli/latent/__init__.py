"""Operations on codes."""
