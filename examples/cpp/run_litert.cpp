// A picture through a TFLite file in LiteRT, prepared as the file itself declares: in its metadata,
// under edgecompress.preprocessing; edgecompress.layout says which dimension has the channels.
//
//     run_litert model.tflite picture.jpg
//     edgecompress check-contract model.tflite --app "build/run_litert model.tflite"

#include <litert/c/litert_common.h>
#include <litert/c/litert_compiled_model.h>
#include <litert/c/litert_environment.h>
#include <litert/c/litert_model.h>
#include <litert/c/litert_options.h>
#include <litert/c/litert_tensor_buffer.h>
#include <litert/c/litert_tensor_buffer_requirements.h>

#include <cstring>
#include <iostream>

#include "picture.h"

static const int ONLY_ERRORS = 3;

static void must(LiteRtStatus status, const char* what) {
    if (status != kLiteRtStatusOk)
        throw std::runtime_error(std::string(what) + ": status " + std::to_string(status));
}

#define MUST(call) must(call, #call)

struct Tensor {
    const char* name;
    LiteRtRankedTensorType type;
    LiteRtQuantizationPerTensor steps{1.0f, 0};
    LiteRtTensorBuffer buffer;
    size_t bytes;
};

static Tensor opened(LiteRtTensor tensor, const char* name, LiteRtEnvironment environment,
                     LiteRtTensorBufferRequirements requirements) {
    Tensor found{name, {}, {1.0f, 0}, nullptr, 0};
    LiteRtQuantizationTypeId kind;
    MUST(LiteRtGetRankedTensorType(tensor, &found.type));
    MUST(LiteRtGetQuantizationTypeId(tensor, &kind));
    if (kind == kLiteRtQuantizationPerTensor)
        MUST(LiteRtGetPerTensorQuantization(tensor, &found.steps));
    MUST(LiteRtCreateManagedTensorBufferFromRequirements(environment, &found.type, requirements,
                                                         &found.buffer));
    MUST(LiteRtGetTensorBufferPackedSize(found.buffer, &found.bytes));
    return found;
}

// The bytes that an input takes: as they are prepared, or quantised where it is of int8.
static std::vector<char> bytes_for(const Tensor& taken, const picture::Tensor& given,
                                   std::string& dtype) {
    const auto raw = [](const auto& numbers) {
        const char* from = reinterpret_cast<const char*>(numbers.data());
        return std::vector<char>(from, from + numbers.size() * sizeof numbers[0]);
    };
    if (!given.bytes.empty()) return dtype = "|u1", raw(given.bytes);
    if (taken.type.element_type == kLiteRtElementTypeFloat32)
        return dtype = "<f4", raw(given.floats);
    if (taken.type.element_type != kLiteRtElementTypeInt8)
        throw std::runtime_error(std::string(taken.name) + ": is neither float32, int8 nor uint8");
    std::vector<int8_t> integers;
    for (float value : given.floats)
        integers.push_back(int8_t(std::clamp(
            std::nearbyint(value / taken.steps.scale) + taken.steps.zero_point, -128.0f, 127.0f)));
    return dtype = "|i1", raw(integers);
}

template <typename Number>
static void append(std::vector<float>& found, const void* from, const Tensor& output) {
    const Number* numbers = static_cast<const Number*>(from);
    for (size_t at = 0; at < output.bytes / sizeof(Number); at++)
        found.push_back((numbers[at] - output.steps.zero_point) * output.steps.scale);
}

static std::vector<float> floats_of(const Tensor& output) {
    void* from;
    std::vector<float> found;
    MUST(LiteRtLockTensorBuffer(output.buffer, &from, kLiteRtTensorBufferLockModeRead));
    switch (output.type.element_type) {
        case kLiteRtElementTypeFloat32: append<float>(found, from, output); break;
        case kLiteRtElementTypeInt8: append<int8_t>(found, from, output); break;
        case kLiteRtElementTypeUInt8: append<uint8_t>(found, from, output); break;
        default: throw std::runtime_error(std::string(output.name) + ": is of another type");
    }
    MUST(LiteRtUnlockTensorBuffer(output.buffer));
    return found;
}

// What LiteRT holds goes with the process.
static void run(const char* file, const char* path, const char* tensor) {
    LiteRtEnvironment environment;
    LiteRtModel model;
    LiteRtOptions options;
    LiteRtCompiledModel compiled;
    LiteRtSignature signature;
    LiteRtEnvOption quiet{kLiteRtEnvOptionTagMinLoggerSeverity, {}};
    quiet.value.type = kLiteRtAnyTypeInt;
    quiet.value.int_value = ONLY_ERRORS;
    MUST(LiteRtCreateEnvironment(1, &quiet, &environment));
    MUST(LiteRtCreateModelFromFile(environment, file, &model));
    MUST(LiteRtCreateOptions(&options));
    MUST(LiteRtSetOptionsHardwareAccelerators(options, kLiteRtHwAcceleratorCpu));
    MUST(LiteRtCreateCompiledModel(environment, model, options, &compiled));
    MUST(LiteRtGetModelSignature(model, 0, &signature));
    auto note = [&](const char* key) -> std::string {
        const void* text;
        size_t size;
        const bool is_there = LiteRtGetModelMetadata(model, key, &text, &size) == kLiteRtStatusOk;
        return is_there ? std::string(static_cast<const char*>(text), size) : "";
    };

    const char* name;
    LiteRtTensor found;
    LiteRtTensorBufferRequirements requirements;
    MUST(LiteRtGetSignatureInputName(signature, 0, &name));
    MUST(LiteRtGetSignatureInputTensorByIndex(signature, 0, &found));
    MUST(LiteRtGetCompiledModelInputBufferRequirements(compiled, 0, 0, &requirements));
    Tensor taken = opened(found, name, environment, requirements);
    const auto declared = picture::declared_in(note("edgecompress.preprocessing"));
    const auto layout = picture::Json::parse(note("edgecompress.layout"));
    const auto given = picture::prepared(path, declared, layout.at(name) == "nhwc");
    std::string dtype;
    const std::vector<char> bytes = bytes_for(taken, given, dtype);
    if (tensor != nullptr)
        picture::save_npy(tensor, dtype, given.shape, bytes.data(), bytes.size());
    if (bytes.size() != taken.bytes) throw std::runtime_error("the input has another size");
    void* to;
    MUST(LiteRtLockTensorBuffer(taken.buffer, &to, kLiteRtTensorBufferLockModeWrite));
    std::memcpy(to, bytes.data(), bytes.size());
    MUST(LiteRtUnlockTensorBuffer(taken.buffer));

    LiteRtParamIndex count;
    MUST(LiteRtGetNumSignatureOutputs(signature, &count));
    std::vector<Tensor> outputs;
    std::vector<LiteRtTensorBuffer> buffers;
    for (LiteRtParamIndex at = 0; at < count; at++) {
        MUST(LiteRtGetSignatureOutputName(signature, at, &name));
        MUST(LiteRtGetSignatureOutputTensorByIndex(signature, at, &found));
        MUST(LiteRtGetCompiledModelOutputBufferRequirements(compiled, 0, at, &requirements));
        outputs.push_back(opened(found, name, environment, requirements));
        buffers.push_back(outputs.back().buffer);
    }
    MUST(LiteRtRunCompiledModel(compiled, 0, 1, &taken.buffer, buffers.size(), buffers.data()));
    for (const Tensor& output : outputs)
        picture::show(output.name, floats_of(output), note("edgecompress.labels"));
}

int main(int count, char** arguments) {
    if (count != 3 && count != 4) {
        std::cerr << "usage: run_litert MODEL.tflite PICTURE [INPUT.npy]\n";
        return 2;
    }
    try {
        run(arguments[1], arguments[2], count == 4 ? arguments[3] : nullptr);
    } catch (const std::exception& error) {
        std::cerr << "run_litert: " << error.what() << "\n";
        return 1;
    }
}
