"""English names of languages by code, in the spelling of WildChat's releases (title case, `Bokmal`, `Nynorsk`)."""

from __future__ import annotations

NO_LANGUAGE = "Nolang"  # WildChat's word for a text without a language

# "code Name", one language a line of the first group: the 75 that WildChat could give; below them, others that are told
_NAMES = """
af Afrikaans, sq Albanian, ar Arabic, hy Armenian, az Azerbaijani, eu Basque, be Belarusian, bn Bengali, nb Bokmal,
bs Bosnian, bg Bulgarian, ca Catalan, zh Chinese, hr Croatian, cs Czech, da Danish, nl Dutch, en English, eo Esperanto,
et Estonian, fi Finnish, fr French, lg Ganda, ka Georgian, de German, el Greek, gu Gujarati, he Hebrew, hi Hindi,
hu Hungarian, is Icelandic, id Indonesian, ga Irish, it Italian, ja Japanese, kk Kazakh, ko Korean, la Latin,
lv Latvian, lt Lithuanian, mk Macedonian, ms Malay, mi Maori, mr Marathi, mn Mongolian, nn Nynorsk, fa Persian,
pl Polish, pt Portuguese, pa Punjabi, ro Romanian, ru Russian, sr Serbian, sn Shona, sk Slovak, sl Slovene, so Somali,
st Sotho, es Spanish, sw Swahili, sv Swedish, tl Tagalog, ta Tamil, te Telugu, th Thai, ts Tsonga, tn Tswana,
tr Turkish, uk Ukrainian, ur Urdu, vi Vietnamese, cy Welsh, xh Xhosa, yo Yoruba, zu Zulu,

als Alemannic, am Amharic, an Aragonese, arz Egyptian Arabic, as Assamese, ast Asturian, av Avaric,
azb South Azerbaijani, ba Bashkir, bar Bavarian, bcl Central Bikol, bh Bihari, bo Tibetan, bpy Bishnupriya, br Breton,
bxr Buryat, ce Chechen, ceb Cebuano, ckb Central Kurdish, co Corsican, cv Chuvash, diq Zazaki, dsb Lower Sorbian,
dty Dotyali, dv Dhivehi, eml Emilian-Romagnol, frr North Frisian, fy Frisian, gd Scots Gaelic, gl Galician,
gn Guarani, gom Konkani, gv Manx, hif Fiji Hindi, hsb Upper Sorbian, ht Haitian Creole, ia Interlingua, ie Interlingue,
ilo Ilocano, io Ido, jbo Lojban, jv Javanese, km Khmer, kn Kannada, krc Karachay-Balkar, ku Kurdish, kv Komi,
kw Cornish, ky Kyrgyz, lb Luxembourgish, lez Lezgian, li Limburgish, lmo Lombard, lo Lao, lrc Northern Luri,
mai Maithili, mg Malagasy, mhr Meadow Mari, min Minangkabau, ml Malayalam, mrj Hill Mari, mt Maltese, mwl Mirandese,
my Burmese, myv Erzya, mzn Mazanderani, nah Nahuatl, nap Neapolitan, nds Low German, ne Nepali, new Newari, oc Occitan,
or Odia, os Ossetian, pam Pampanga, pfl Palatine German, pms Piedmontese, pnb Western Punjabi, ps Pashto, qu Quechua,
rm Romansh, rue Rusyn, sa Sanskrit, sah Yakut, sc Sardinian, scn Sicilian, sco Scots, sd Sindhi, sh Serbo-Croatian,
si Sinhala, su Sundanese, tg Tajik, tk Turkmen, tt Tatar, tyv Tuvan, ug Uyghur, uz Uzbek, vec Venetian, vep Veps,
vls West Flemish, vo Volapuk, wa Walloon, war Waray, wuu Wu Chinese, xal Kalmyk, xmf Mingrelian, yi Yiddish,
yue Cantonese,
aa Afar, ab Abkhazian, ak Akan, ay Aymara, bi Bislama, crs Seselwa, chr Cherokee, dz Dzongkha, ee Ewe, fj Fijian,
fo Faroese, gaa Ga, ha Hausa, haw Hawaiian, hmn Hmong, ig Igbo, ik Inupiaq, iu Inuktitut, kha Khasi, kl Greenlandic,
kri Krio, ks Kashmiri, ln Lingala, loz Lozi, lua Luba-Lulua, luo Luo, mfe Mauritian Creole, na Nauru, nr Ndebele,
nso Northern Sotho, ny Nyanja, om Oromo, raj Rajasthani, rn Rundi, rw Kinyarwanda, sg Sango, sm Samoan, ss Swati,
syr Syriac, ti Tigrinya, to Tonga, tum Tumbuka, tw Twi, ve Venda, wo Wolof, za Zhuang
"""

#: English name by code.
LANGUAGE_NAMES: dict[str, str] = {
    code: name
    for code, _, name in (entry.strip().partition(" ") for entry in _NAMES.replace("\n", " ").split(","))
    if code
}
