// All of them together. Included by one file per instruction set.
#pragma once

#include "attention_kernel.hpp"
#include "click_kernel.hpp"
#include "convolution_kernel.hpp"
#include "linear_kernel.hpp"
#include "patch_kernel.hpp"
#include "upsample_kernel.hpp"

namespace {

template <class V>
const inter2former::ClickKernel* click_kernel() {
    static constexpr inter2former::ClickKernel kernel{
        V::width,         V::rows,       attend<V>,        attend_scratch<V>, attend_codes<V>,
        codes_scratch<V>, find_codes<V>, upsample<V>,      upsample_scratch<V>,
        patches<V>,       patch_scratch<V>, convolve<V>,   convolve_scratch<V>,
        linear<V>,        linear_scratch<V>, perceptron<V>, perceptron_scratch<V>};
    return &kernel;
}

}  // namespace
