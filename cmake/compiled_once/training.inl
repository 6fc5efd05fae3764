// What training and its files need, for float. ANTHER_ONCE is as in engine.inl.
namespace anther::inline v0_1 {

ANTHER_ONCE template class Inference<float>;
ANTHER_ONCE template class Fit<float>;
ANTHER_ONCE template void save_weights(const std::filesystem::path&, const ParameterStore<float>&,
                                       std::span<const float>,
                                       const std::map<std::string, std::string>&,
                                       const SaveWeightsOptions&);
ANTHER_ONCE template std::vector<std::string> load_weights(const io::SafetensorsFile&,
                                                           ParameterStore<float>&,
                                                           const LoadWeightsOptions&);
ANTHER_ONCE template void save_state(const std::filesystem::path&, const Optimizer<float>&,
                                     const nlohmann::json&, const ModelEma<float>*);
ANTHER_ONCE template nlohmann::json load_state(const std::filesystem::path&, Optimizer<float>&,
                                               ModelEma<float>*);

}  // namespace anther::inline v0_1

// nlohmann-json: the value, its writer, and its reader of a string and of a safetensors header.
ANTHER_ONCE template class nlohmann::basic_json<>;
ANTHER_ONCE template class nlohmann::detail::serializer<nlohmann::json>;
ANTHER_ONCE template class nlohmann::detail::lexer<
    nlohmann::json, nlohmann::detail::iterator_input_adapter<std::string::const_iterator>>;
ANTHER_ONCE template class nlohmann::detail::parser<
    nlohmann::json, nlohmann::detail::iterator_input_adapter<std::string::const_iterator>>;
ANTHER_ONCE template nlohmann::json nlohmann::json::parse(const std::string&,
                                                          nlohmann::json::parser_callback_t, bool,
                                                          bool);
ANTHER_ONCE template bool nlohmann::json::sax_parse(std::string_view::const_iterator,
                                                    std::string_view::const_iterator,
                                                    anther::io::SafetensorsHeaderParser*,
                                                    nlohmann::json::input_format_t, bool, bool);
