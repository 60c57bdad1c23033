// The fields of a state, where they are wanted.

@if(SPREAD) import fields::weights;
@if(ARGMAX) import fields::best;
@if(RANK) import fields::before;
@if(ENTROPY) import fields::moment;
@if(PRODUCT) import fields::product;
