// The fields of a state, where they are wanted.

@if(SPREAD) import fields::weights;
@if(ARGMAX) import fields::best;
@if(RANK) import fields::before;
@if(MOMENT) import fields::moment;
@if(SQUARES) import fields::squares;
@if(PRODUCT) import fields::product;
