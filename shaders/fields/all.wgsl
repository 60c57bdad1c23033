// The fields of a state that are switched on.

@if(DENSE_TARGET) import fields::weights;
@if(ARGMAX) import fields::argmax;
@if(RANK) import fields::label_rank;
@if(EXP_GAP_SUM) import fields::exp_gap_sum;
@if(SQUARES) import fields::squares;
@if(PRODUCT) import fields::product;
