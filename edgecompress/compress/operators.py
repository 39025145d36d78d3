"""Kinds of operators of a captured graph, as quantising sees them: tables only."""

from edgecompress.compress.fx import ATEN

WEIGHTED: dict[object, int] = {  # operator -> axis of the output channels in its weight
    ATEN.conv1d.default: 0,
    ATEN.conv1d.padding: 0,
    ATEN.conv2d.default: 0,
    ATEN.conv2d.padding: 0,
    ATEN.conv3d.default: 0,
    ATEN.conv3d.padding: 0,
    ATEN.conv_transpose1d.default: 1,
    ATEN.conv_transpose2d.input: 1,
    ATEN.conv_transpose3d.input: 1,
    ATEN.linear.default: 0,
}
# Activations that vanish into the range of the tensor before them.
CLIPPING = {
    ATEN.relu.default,
    ATEN.relu6.default,
    ATEN.hardtanh.default,
}
ADDING = {ATEN.add.Tensor}
MULTIPLYING = {ATEN.mul.Tensor}
MATMULS = {ATEN.matmul.default, ATEN.bmm.default}
BINARY = {*ADDING, *MULTIPLYING, *MATMULS}
# Operators with kernels of their own that read and write int8 of any scale.
ELEMENTWISE = {
    *BINARY,
    ATEN.hardswish.default,
    ATEN.hardsigmoid.default,
    ATEN.sigmoid.default,
    ATEN.leaky_relu.default,
    ATEN.softmax.int,
    ATEN.layer_norm.default,
    ATEN.mean.dim,
    ATEN.avg_pool1d.default,
    ATEN.avg_pool2d.default,
    ATEN.adaptive_avg_pool2d.default,
}
# Operators whose output has the scale of their input.
SHARING = {
    *CLIPPING,  # where nothing before them takes them in
    ATEN.max_pool1d.default,
    ATEN.max_pool2d.default,
    ATEN.adaptive_max_pool2d.default,
    ATEN.pad.default,
    ATEN.constant_pad_nd.default,
    ATEN.slice.Tensor,
    ATEN.select.int,
    ATEN.view.default,
    ATEN.reshape.default,
    ATEN.flatten.using_ints,
    ATEN.unflatten.int,
    ATEN.permute.default,
    ATEN.transpose.int,
    ATEN.squeeze.default,
    ATEN.squeeze.dim,
    ATEN.squeeze.dims,
    ATEN.unsqueeze.default,
    ATEN.expand.default,
    ATEN.expand_as.default,
    ATEN.broadcast_to.default,
    ATEN.repeat.default,
    ATEN.repeat_interleave.self_int,
    ATEN.roll.default,
    ATEN.contiguous.default,
    ATEN.clone.default,
    ATEN.pixel_shuffle.default,
    ATEN.pixel_unshuffle.default,
    ATEN.channel_shuffle.default,
    ATEN.upsample_nearest1d.vec,
    ATEN.upsample_nearest2d.vec,
    ATEN.upsample_nearest2d.default,
    ATEN.upsample_bilinear2d.vec,  # between its neighbours, so never beyond their range
    ATEN.upsample_bilinear2d.default,
    ATEN.index_select.default,
    ATEN.flip.default,
    ATEN.narrow.default,
    ATEN.movedim.int,
    ATEN.dropout.default,
}
# pad(x, widths, mode, value) and constant_pad_nd(x, widths, value).
PADDING = {ATEN.pad.default, ATEN.constant_pad_nd.default}
CONCATENATING = {ATEN.cat.default, ATEN.concat.default, ATEN.stack.default}
SPLITTING = {
    ATEN.chunk.default,
    ATEN.split.Tensor,
    ATEN.split_with_sizes.default,
    ATEN.unbind.int,
}
# Operators that only move numbers: what they write is what they read.
MOVING = {
    *SHARING
    - CLIPPING
    - {ATEN.max_pool1d.default, ATEN.max_pool2d.default, ATEN.adaptive_max_pool2d.default}
    - {ATEN.upsample_bilinear2d.vec, ATEN.upsample_bilinear2d.default},
    *SPLITTING,
}
# Outputs from 0 to 1 whatever the input: kernels want 256 steps to 1 (ONNX Runtime 1.31's
# QLinearSoftmax writes zeros when the scale is smaller, LiteRT's refuse any other).
BOUNDED = {
    ATEN.softmax.int,
    ATEN.sigmoid.default,
    ATEN.hardsigmoid.default,
}
