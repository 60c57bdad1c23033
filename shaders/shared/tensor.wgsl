// Tensors with an element for each class: read_*, word_of_*, write_*, and put_* for parts of loads.

@if(!LOOSE) import shared::aligned;
@if(LOOSE || BY_CLASS) import shared::anywhere;
