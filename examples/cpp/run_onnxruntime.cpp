// A picture through an ONNX file in ONNX Runtime, prepared as the file itself declares: in its
// metadata_props, under edgecompress.preprocessing.
//
//     run_onnxruntime model.onnx picture.jpg
//     edgecompress check-contract model.onnx --app "build/run_onnxruntime model.onnx"

#include <onnxruntime_cxx_api.h>

#include <iostream>

#include "picture.h"

static void run(const char* file, const char* path, const char* tensor) {
    Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "run_onnxruntime");
    Ort::Session session(env, file, Ort::SessionOptions{});
    Ort::AllocatorWithDefaultOptions allocator;
    const Ort::ModelMetadata metadata = session.GetModelMetadata();
    auto note = [&](const char* key) -> std::string {
        auto text = metadata.LookupCustomMetadataMapAllocated(key, allocator);
        return text ? text.get() : "";
    };
    const auto declared = picture::declared_in(note("edgecompress.preprocessing"));
    picture::Tensor given = picture::prepared(path, declared);
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const bool levels = !given.bytes.empty();
    Ort::Value input =
        levels ? Ort::Value::CreateTensor(memory, given.bytes.data(), given.bytes.size(),
                                          given.shape.data(), given.shape.size())
               : Ort::Value::CreateTensor(memory, given.floats.data(), given.floats.size(),
                                          given.shape.data(), given.shape.size());
    if (tensor != nullptr)
        picture::save_npy(tensor, levels ? "|u1" : "<f4", given.shape, input.GetTensorRawData(),
                          levels ? given.bytes.size() : given.floats.size() * sizeof(float));
    const auto taken = session.GetInputNameAllocated(0, allocator);
    const char* input_names[] = {taken.get()};
    std::vector<Ort::AllocatedStringPtr> names;
    std::vector<const char*> output_names;
    for (size_t at = 0; at < session.GetOutputCount(); at++) {
        names.push_back(session.GetOutputNameAllocated(at, allocator));
        output_names.push_back(names.back().get());
    }
    const auto outputs = session.Run(Ort::RunOptions{}, input_names, &input, 1,
                                     output_names.data(), output_names.size());
    for (size_t at = 0; at < outputs.size(); at++) {
        const auto about = outputs[at].GetTensorTypeAndShapeInfo();
        if (about.GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT)
            throw std::runtime_error(std::string(output_names[at]) +
                                     ": is not of floats, which this example needs");
        const float* values = outputs[at].GetTensorData<float>();
        picture::show(output_names[at], {values, values + about.GetElementCount()},
                      note("edgecompress.labels"));
    }
}

int main(int count, char** arguments) {
    if (count != 3 && count != 4) {
        std::cerr << "usage: run_onnxruntime MODEL.onnx PICTURE [INPUT.npy]\n";
        return 2;
    }
    try {
        run(arguments[1], arguments[2], count == 4 ? arguments[3] : nullptr);
    } catch (const std::exception& error) {
        std::cerr << "run_onnxruntime: " << error.what() << "\n";
        return 1;
    }
}
